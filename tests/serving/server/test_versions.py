import os
from pathlib import Path

import pytest

from serving.server.status import ApiError
from serving.server.versions import check_files, fingerprint


def test_links_to_files_are_followed(put, tmp_path) -> None:
    data = put(1) / "variables" / "variables.index"
    data.symlink_to(data.rename(tmp_path / "index"))
    check_files(data.parent.parent)


def test_a_graph_without_variables_needs_no_file_of_them(tmp_path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    graph = saved_model_pb2.SavedModel()
    graph.meta_graphs.add()
    (tmp_path / "saved_model.pb").write_bytes(graph.SerializeToString())
    check_files(tmp_path)
    graph.meta_graphs[0].saver_def.restore_op_name = "restore"
    (tmp_path / "saved_model.pb").write_bytes(graph.SerializeToString())
    with pytest.raises(ApiError, match="the copy is not complete"):
        check_files(tmp_path)


def test_a_version_that_is_gone_is_refused(tmp_path) -> None:
    with pytest.raises(ApiError, match=r"cannot read saved_model\.pb: No such file or directory") as refused:
        check_files(tmp_path / "7")
    assert refused.value.code == "FAILED_PRECONDITION"


@pytest.mark.parametrize("change", ["content", "mode", "name", "added", "removed"])
def test_any_change_of_the_files_changes_the_fingerprint(put, change: str) -> None:
    path = put(1)
    file = path / "variables" / "variables.index"
    before = fingerprint(path)
    assert fingerprint(path) == before
    {
        "content": lambda: file.write_bytes(b"x"),
        "mode": lambda: file.chmod(0o600),
        "name": lambda: file.rename(path / "else"),
        "added": lambda: Path(path, "new").touch(),
        "removed": lambda: os.unlink(file),
    }[change]()
    assert fingerprint(path) != before
    assert fingerprint(path.parent / "9") == frozenset()
