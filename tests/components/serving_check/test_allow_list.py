from __future__ import annotations

import pytest
from tensorflow.python.framework import op_def_registry

from components.serving_check import allow_list

DANGEROUS = """
    PyFunc PyFuncStateless EagerPyFunc ReadFile WriteFile MatchingFiles WholeFileReaderV2 TFRecordReaderV2 TextLineReaderV2 Save
    SaveSlices Restore RestoreSlice SaveV2 RestoreV2 MergeV2Checkpoints ShardedFilename TFRecordDataset TextLineDataset
    FixedLengthRecordDatasetV2 SqlDataset LMDBDataset CSVDatasetV2 CacheDatasetV2 SnapshotDatasetV2 SaveDatasetV2 LoadDataset
    MatchingFilesDataset DatasetToTFRecord GeneratorDataset DataServiceDatasetV4 RpcCall RpcClient RpcServer RemoteCall _Send
    _Recv CollectiveReduceV2 CollectiveGatherV2 NcclAllReduce Print PrintV2 DebugIdentity DebugIdentityV2 DumpTensor
    ImmutableConst DecodeProtoV2 EncodeProto FixedUnigramCandidateSampler Skipgram NegTrain InitializeTableFromTextFile
    InitializeTableFromTextFileV2 InitializeTableFromDataset LoadAndRemapMatrix GenerateVocabRemapping CreateSummaryFileWriter
    CreateSummaryDbWriter WriteSummary ImportEvent Abort FileSystemSetConfiguration XlaCallModule XlaCustomCallV2 XlaLaunch
    TPUPartitionedCall ConfigureDistributedTPU TRTEngineOp TfLiteSubgraphExecute RecordInput GetSessionHandleV2 SleepOp
"""


def test_every_listed_operation_is_one_of_tensorflow() -> None:
    listed = allow_list.read()
    unknown = {name for name in listed.anywhere | listed.save | listed.restore | listed.asset if not op_def_registry.get(name)}
    assert not unknown


@pytest.mark.parametrize("name", DANGEROUS.split())
def test_what_reaches_files_python_or_the_network_is_allowed_nowhere(name: str) -> None:
    assert name not in allow_list.read().anywhere


def test_a_config_adds_operations() -> None:
    listed = allow_list.read()
    assert listed.extended(["PrintV2"]).anywhere == listed.anywhere | {"PrintV2"}
