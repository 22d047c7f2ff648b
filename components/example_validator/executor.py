"""Executor of StoppingExampleValidator."""

from __future__ import annotations

import glob
import logging
import os
import textwrap
from collections.abc import Iterator
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import types
from tfx.components.example_validator import executor as stock
from tfx.types import artifact_utils
from tfx.types.standard_component_specs import ANOMALIES_KEY

from errors import DataError

logger = logging.getLogger(__name__)
_SHOWN = 3
_LENGTH = 300  # characters of one anomaly


class Executor(stock.Executor):
    """Validates as the stock executor does, then refuses to go on with anomalies."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> Any:
        """Raises DataError, one line naming the first anomalies; all of them are logged."""
        result = super().Do(input_dict, output_dict, exec_properties)
        found = list(anomalies(artifact_utils.get_single_uri(output_dict[ANOMALIES_KEY])))
        if found:
            for anomaly in found:
                logger.warning("anomaly: %s", anomaly)
            more = f" (and {len(found) - _SHOWN} more, in the log)" if len(found) > _SHOWN else ""
            raise DataError(
                f"the data do not fit the schema: {'; '.join(found[:_SHOWN])}{more}. Expected no anomaly: mend the data, or"
                " say in a curated schema (data.schema) that this is allowed."
            )
        return result


def anomalies(uri: str) -> Iterator[str]:
    """Yields `split/feature: what is wrong` for every anomaly in an ExampleAnomalies artifact."""
    for path in sorted(glob.glob(os.path.join(uri, "Split-*", "SchemaDiff.pb"))):
        split = os.path.basename(os.path.dirname(path)).removeprefix("Split-")
        with open(path, "rb") as file:
            proto = anomalies_pb2.Anomalies.FromString(file.read())
        if proto.data_missing:
            yield f"{split}: no examples"
        if proto.HasField("dataset_anomaly_info"):
            yield f"{split}: {proto.dataset_anomaly_info.description}"
        for feature, info in sorted(proto.anomaly_info.items()):
            yield f"{split}/{feature}: {_short(info.description)}"


def _short(description: str) -> str:
    """A description names values of the data: all that the schema does not know, however many."""
    return textwrap.shorten(description, _LENGTH, placeholder=" ...")
