"""The executor of FederatedSplit: resolves artifacts, divides, records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfx import types
from tfx.components.util import examples_utils
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import artifact_utils

from components.federated_split import spec
from components.federated_split.division import SPLIT, Request, divide
from components.federated_split.parameters import check_parameters
from errors import DataError
from lineage.digests import tree_digest


class Executor(BaseBeamExecutor):
    """Divides the `train` split on Beam."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the FederatedExamples artifact; see `components.artifacts` for its layout.

        Raises:
          errors.DataError: the examples cannot be divided as requested; nothing is left in the artifact's directory.
        """
        strategy = exec_properties[spec.STRATEGY]
        parameters = check_parameters(strategy, json.loads(exec_properties[spec.PARAMETERS_JSON]))
        files = _split_files(input_dict[spec.EXAMPLES])
        artifact = artifact_utils.get_single_instance(output_dict[spec.FEDERATED_EXAMPLES])
        request = Request(strategy, parameters, exec_properties[spec.SEED])
        _record(artifact, divide(files, artifact.uri, request, self._make_beam_pipeline))


def _split_files(examples: Sequence[types.Artifact]) -> list[str]:
    """Returns the TFRecord files of the split to divide, of all artifacts."""
    for artifact in examples:
        names = artifact_utils.decode_split_names(artifact.split_names)
        if SPLIT not in names:
            raise DataError(
                f"expected a split named {SPLIT!r}, got {', '.join(names) or 'none'}; name the splits train and eval."
            )
        payload = examples_utils.get_payload_format_string(artifact)
        if payload != "FORMAT_TF_EXAMPLE":
            raise DataError(f"expected examples stored as FORMAT_TF_EXAMPLE, got {payload}; set it in the ExampleGen's output.")
    folders = [Path(uri) for uri in artifact_utils.get_split_uris(list(examples), SPLIT)]
    return sorted(
        str(path) for folder in folders for path in folder.glob("*") if path.is_file() and not path.name.startswith(".")
    )


def _record(artifact: types.Artifact, partition: dict[str, Any]) -> None:
    artifact.set_string_custom_property("strategy", partition["strategy"])
    artifact.set_int_custom_property("clients", partition["num_clients"])
    artifact.set_int_custom_property("examples", partition["num_examples"])
    artifact.set_int_custom_property("seed", partition["seed"])
    artifact.set_string_custom_property("digest", tree_digest(artifact.uri))
