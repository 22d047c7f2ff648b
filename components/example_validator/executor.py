"""Executor of StoppingExampleValidator."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import types
from tfx.components.example_validator import executor as stock
from tfx.components.statistics_gen import stats_artifact_utils
from tfx.types import artifact_utils
from tfx.types.standard_component_specs import ANOMALIES_KEY, STATISTICS_KEY

from components import digested
from components.example_validator import spec
from components.example_validator.anomalies import Anomaly, anomalies
from components.example_validator.fit import Misfit, misfits
from errors import DataError
from modeling import contract

logger = logging.getLogger(__name__)
_SHOWN = 3


class Executor(stock.Executor):
    """Validates as the stock executor does, then refuses to go on with anomalies or with data that the model cannot read."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> Any:
        """Raises DataError, one line naming what is wrong first; all of it is logged. Neither shows a value of an example."""
        result = super().Do(input_dict, output_dict, exec_properties)
        statistics = _statistics(artifact_utils.get_single_instance(input_dict[STATISTICS_KEY]))
        wrong = misfits(contract.load(exec_properties[spec.MODULE_KEY]), statistics)
        told = {misfit.feature for misfit in wrong}
        found = _anomalies(artifact_utils.get_single_uri(output_dict[ANOMALIES_KEY]), statistics)
        odd = [anomaly for anomaly in found if anomaly.feature is None or anomaly.feature not in told]
        if wrong or odd:
            for line in (*wrong, *odd):
                logger.warning("%s", line)
            raise DataError(_message(wrong, odd))
        digested.record(output_dict, result)
        return result


def _statistics(artifact: types.Artifact) -> dict[str, Any]:
    """What StatisticsGen computed, by split."""
    splits = artifact_utils.decode_split_names(artifact.split_names)
    return {split: stats_artifact_utils.load_statistics(artifact, split).proto() for split in splits}


def _anomalies(uri: str, statistics: Mapping[str, Any]) -> Iterator[Anomaly]:
    """Yields what an ExampleAnomalies artifact holds, eval before train as their names sort."""
    for split, proto in sorted(statistics.items()):
        with open(os.path.join(uri, f"Split-{split}", stock.DEFAULT_FILE_NAME), "rb") as file:
            yield from anomalies(split, anomalies_pb2.Anomalies.FromString(file.read()), proto)


def _message(wrong: Sequence[Misfit], odd: Sequence[Anomaly]) -> str:
    lines = [*wrong, *odd]
    named = [name for name, found in (("FEATURES", wrong), ("the schema", odd)) if found]
    more = f" (and {len(lines) - _SHOWN} more, in the log)" if len(lines) > _SHOWN else ""
    remedy = (
        ". Expected no anomaly: mend the data, or say in a curated schema (data.schema) that this is allowed." if odd else "."
    )
    return f"the data do not fit {' and '.join(named)}: {'; '.join(map(str, lines[:_SHOWN]))}{more}{remedy}"
