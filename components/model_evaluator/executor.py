"""Analyses a model as the stock Evaluator does, if it may be; says what the evaluation is about."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from tfx.components.evaluator import constants
from tfx.components.evaluator import executor as stock_executor
from tfx.types import artifact, artifact_utils
from tfx.types import standard_component_specs as keys

from components import evidence
from components.model_evaluator import spec
from errors import IntegrityError

logger = logging.getLogger(__name__)
_Artifacts = dict[str, list[artifact.Artifact]]


class Executor(stock_executor.Executor):
    """See component.ModelEvaluator."""

    def Do(self, input_dict: _Artifacts, output_dict: _Artifacts, exec_properties: dict[str, Any]) -> None:
        """Fills `evaluation` and `blessing`.

        Raises:
          IntegrityError: the examples, or a finding that comes first, are not what was published.
        """
        model, served = input_dict[keys.MODEL_KEY][0], evidence.only(input_dict, keys.BASELINE_MODEL_KEY)
        for examples in input_dict[keys.EXAMPLES_KEY]:
            evidence.require_published(examples, "ExampleGen")
        evaluation = artifact_utils.get_single_instance(output_dict[keys.EVALUATION_KEY])
        obstacle = _obstacle(input_dict)
        if obstacle is None:
            super().Do(input_dict, output_dict, exec_properties)
        else:
            logger.warning("Model %d is not analysed: %s", model.id, obstacle)
            _write_refusal(evaluation.uri, obstacle)
            _refuse(artifact_utils.get_single_instance(output_dict[keys.BLESSING_KEY]), model, exec_properties)
        evidence.record(evaluation, model, served)


def _obstacle(input_dict: _Artifacts) -> str | None:
    """Why the model is not analysed; None if it is."""
    report = _finding(input_dict, spec.SERVING_REPORT, "serving_report.json", "ServingCheck")
    if report.get("loadable") is not True:
        return "ServingCheck says that it must not be loaded"
    scores = _finding(input_dict, spec.PAIRED_SCORES, "summary.json", "PairedEvaluator")
    broken = scores.get("non_finite", {}).get("candidate")
    if scores.get("evaluated") is not True or broken is None:
        return "PairedEvaluator could not evaluate it"
    return f"{broken} of its {scores.get('examples')} predictions are not finite numbers" if broken else None


def _finding(input_dict: _Artifacts, key: str, file: str, node_id: str) -> dict[str, Any]:
    finding = artifact_utils.get_single_instance(input_dict[key])
    evidence.require_published(finding, node_id)
    path = Path(finding.uri, file)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise IntegrityError(f"expected {node_id}'s finding in {path}, got none; run again with --from {node_id}.") from error
    return content if isinstance(content, dict) else {}


def _write_refusal(uri: str, reason: str) -> None:
    os.makedirs(uri, exist_ok=True)
    Path(uri, spec.NOT_EVALUATED_FILE).write_text(json.dumps({"reason": reason}) + "\n", encoding="utf-8")


def _refuse(blessing: artifact.Artifact, model: artifact.Artifact, exec_properties: dict[str, Any]) -> None:
    """What the stock Evaluator records of a model below a threshold."""
    os.makedirs(blessing.uri, exist_ok=True)
    Path(blessing.uri, constants.NOT_BLESSED_FILE_NAME).touch()
    blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY, model.uri)
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, model.id)
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, constants.NOT_BLESSED_VALUE)
    if component_id := exec_properties.get("current_component_id"):
        blessing.set_string_custom_property("component_id", component_id)
