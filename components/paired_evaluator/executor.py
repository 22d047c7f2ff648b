"""The executor of PairedEvaluator: resolves artifacts, measures, records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfx import types
from tfx.components.util import examples_utils
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import artifact_utils

from components import answers, beam_parts, evidence, judged
from components.judged import Judged
from components.paired_evaluator import merging, spec
from components.paired_evaluator.scoring import Scoring
from errors import DataError

SPLIT = "eval"
_PARTS_FOLDER = ".parts"


class Executor(BaseBeamExecutor):
    """Measures on Beam, file by file."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the PairedScores artifact; see `components.artifacts` for its layout.

        Raises:
          IntegrityError: an input is not what was published.
          DataError: the examples cannot be used; see `answers.Answers`, also for models that cannot answer.
        """
        finding = artifact_utils.get_single_instance(output_dict[spec.PAIRED_SCORES])
        models = Judged.of(input_dict)
        Path(finding.uri).mkdir(parents=True, exist_ok=True)
        if judged.may_be_loaded(input_dict, models.candidate):
            files = _split_files(input_dict[spec.EXAMPLES])
            self._measure(models.asked(finding.uri, exec_properties), files, json.loads(exec_properties[judged.METRICS]))
        else:
            judged.write_summary(finding.uri, judged.NOT_EVALUATED)
        evidence.record(finding, models.candidate, models.served)

    def _measure(self, asked: answers.Asked, files: Sequence[str], metrics: Sequence[str]) -> None:
        scoring = Scoring(asked, tuple(files), tuple(metrics))
        folder = str(Path(asked.key, _PARTS_FOLDER))
        try:
            parts = beam_parts.run(self._make_beam_pipeline, folder, len(files), scoring)
        finally:
            answers.forget(asked)
        merging.write(asked.key, parts, [name for name, _ in asked.models], metrics)


def _split_files(examples: Sequence[types.Artifact]) -> list[str]:
    """Returns the TFRecord files of the split, of all artifacts, all as published."""
    for artifact in examples:
        evidence.require_published(artifact, "ExampleGen")
        names = artifact_utils.decode_split_names(artifact.split_names)
        payload = examples_utils.get_payload_format_string(artifact)
        if SPLIT not in names or payload != "FORMAT_TF_EXAMPLE":
            raise DataError(
                f"expected a split named {SPLIT!r} of FORMAT_TF_EXAMPLE, got {', '.join(names) or 'none'} of {payload}; name"
                " the splits train and eval, and set the format in the ExampleGen's output."
            )
    folders = [Path(uri) for uri in artifact_utils.get_split_uris(list(examples), SPLIT)]
    return sorted(
        str(path) for folder in folders for path in folder.glob("*") if path.is_file() and not path.name.startswith(".")
    )
