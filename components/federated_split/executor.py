"""The executor of FederatedSplit: resolves artifacts, divides, records."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfx import types
from tfx.components.util import examples_utils
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import artifact_utils

from components.federated_split import spec
from components.federated_split.division import FORGOTTEN, SPLIT, Request, divide
from components.federated_split.parameters import check_parameters
from components.federated_split.records import read_records
from components.federated_split.sides import EVAL
from errors import DataError, IntegrityError
from lineage.digests import tree_digest
from lineage.forgotten import Omission


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
          errors.DataError: the examples cannot be divided as requested; nothing is left in the artifact's directory, here and
            below.
          errors.IntegrityError: the examples are not the published ones, or an example or held-out client is on both sides.
          errors.FedtfxError: the disk is full.
        """
        strategy = exec_properties[spec.STRATEGY]
        parameters = check_parameters(strategy, json.loads(exec_properties[spec.PARAMETERS_JSON]))
        files = _split_files(input_dict[spec.EXAMPLES])
        _check_published(input_dict[spec.EXAMPLES], files)
        artifact = artifact_utils.get_single_instance(output_dict[spec.FEDERATED_EXAMPLES])
        request = Request(strategy, parameters, exec_properties[spec.SEED], _omission(exec_properties))
        _record(artifact, divide(files, artifact.uri, request, self._make_beam_pipeline))


def _omission(exec_properties: Mapping[str, Any]) -> Omission | None:
    text = exec_properties.get(spec.FORGOTTEN)
    return Omission.of(text) if text else None


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


def _check_published(examples: Sequence[types.Artifact], files: Sequence[str]) -> None:
    """Compares the artifacts with their digests, where there is one: only it shows a plain file cut between two records."""
    for artifact in examples:
        expected = artifact.get_string_custom_property("digest")
        if not expected or tree_digest(artifact.uri) == expected:
            continue
        for file in files:  # If a file is damaged, it is better to name it.
            deque(read_records(file), maxlen=0)
        raise IntegrityError(f"expected the published examples in {artifact.uri}, found other files; run ExampleGen again.")


def _record(artifact: types.Artifact, partition: dict[str, Any]) -> None:
    artifact.set_string_custom_property("strategy", partition["strategy"])
    artifact.set_int_custom_property("clients", partition["num_clients"])
    artifact.set_int_custom_property("examples", partition["num_examples"])
    artifact.set_int_custom_property("dropped", partition.get("dropped_examples", 0))
    if EVAL in partition:
        artifact.set_int_custom_property("eval_examples", partition[EVAL]["num_examples"])
        artifact.set_int_custom_property("held_out_clients", partition["held_out_clients"])
    if FORGOTTEN in partition:
        artifact.set_int_custom_property(FORGOTTEN, partition[FORGOTTEN])
    artifact.set_int_custom_property("seed", partition["seed"])
    artifact.set_string_custom_property("digest", tree_digest(artifact.uri))
