"""Analyses a model as the stock Evaluator does, if it may be; says what the evaluation is about."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from tfx.types import artifact, artifact_utils
from tfx.types import standard_component_specs as keys

from components import evidence, judged
from components.answers import CANDIDATE, SERVED
from components.model_evaluator import reporting, spec
from errors import IntegrityError

logger = logging.getLogger(__name__)
_Artifacts = dict[str, list[artifact.Artifact]]


class Executor(reporting.Executor):
    """See component.ModelEvaluator."""

    def Do(self, input_dict: _Artifacts, output_dict: _Artifacts, exec_properties: dict[str, Any]) -> None:
        """Fills `evaluation`.

        Raises:
          IntegrityError: the examples, or a finding that comes first, are not what was published.
          DataError: see `reporting.Executor`.
        """
        model, served = input_dict[keys.MODEL_KEY][0], evidence.only(input_dict, keys.BASELINE_MODEL_KEY)
        for examples in input_dict[keys.EXAMPLES_KEY]:
            evidence.require_published(examples, "ExampleGen")
        evaluation = artifact_utils.get_single_instance(output_dict[keys.EVALUATION_KEY])
        obstacle = _obstacle(input_dict)
        if obstacle is None:
            super().Do(_without_unable(input_dict), output_dict, exec_properties)
        else:
            logger.warning("Model %d is not analysed: %s", model.id, obstacle)
            reporting.write_refusal(evaluation.uri, obstacle)
        evidence.record(evaluation, model, served)


def _obstacle(input_dict: _Artifacts) -> str | None:
    """Why the model is not analysed; None if it is."""
    if not judged.may_be_loaded(input_dict, input_dict[keys.MODEL_KEY][0]):
        return "ServingCheck says that it must not be loaded"
    scores = _scores(input_dict)
    if problem := scores.get("problems", {}).get(CANDIDATE):
        return str(problem)
    broken = scores.get("non_finite", {}).get(CANDIDATE)
    if scores.get("evaluated") is not True or broken is None:
        return "PairedEvaluator could not evaluate it"
    return f"{broken} of its {scores.get('examples')} predictions are not finite numbers" if broken else None


def _without_unable(input_dict: _Artifacts) -> _Artifacts:
    """The inputs, without a served model whose answers are no numbers: it must not keep its successor from being analysed.

    The evaluation then has no metrics of it, so that nothing that is required of a change is known.
    """
    scores = _scores(input_dict)
    unable = scores.get("problems", {}).get(SERVED) or scores.get("non_finite", {}).get(SERVED)
    if not unable or not input_dict.get(keys.BASELINE_MODEL_KEY):
        return input_dict
    logger.warning("The served model is not analysed: it does not answer the evaluation examples with finite numbers")
    return {key: artifacts for key, artifacts in input_dict.items() if key != keys.BASELINE_MODEL_KEY}


def _scores(input_dict: _Artifacts) -> dict[str, Any]:
    finding = artifact_utils.get_single_instance(input_dict[spec.PAIRED_SCORES])
    evidence.require_published(finding, "PairedEvaluator")
    path = Path(finding.uri, judged.SUMMARY_FILE)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise IntegrityError(f"expected scores in {path}, got none; run again with --from PairedEvaluator.") from error
    return content if isinstance(content, dict) else {}
