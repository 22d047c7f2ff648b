"""DeployGate's executor: resolves artifacts, has every requirement looked at, decides, records."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components import evidence
from components.deploy_gate import page, picture, recording, spec, wording
from components.deploy_gate.approvals import Approval, load
from components.deploy_gate.case import Case, Live
from components.deploy_gate.decision import Decision, decide
from components.deploy_gate.observers import FAILED, judge
from components.deploy_gate.requirements import CLIENTS, EVALUATOR, PAIRED, SERVING, requirements
from components.federated_evaluator.report import PICTURE_FILE
from components.uncached_driver import FAILED_NODES
from errors import ConfigError

logger = logging.getLogger(__name__)

_Artifacts = dict[str, list[types.Artifact]]
_FINDINGS = {
    SERVING: spec.SERVING_REPORT_KEY,
    EVALUATOR: spec.EVALUATION_KEY,
    PAIRED: spec.PAIRED_SCORES_KEY,
    CLIENTS: spec.CLIENT_METRICS_KEY,
}


class Executor(base_executor.BaseExecutor):
    """See component.DeployGate."""

    def Do(self, input_dict: _Artifacts, output_dict: _Artifacts, exec_properties: dict[str, Any]) -> None:
        """Fills `decision` and `blessing`. What is wrong with a finding is a failed check, not an error.

        Raises:
          ConfigError: the settings or the judges are not what the gate knows.
        """
        approvals, problem = _approvals(exec_properties.get(spec.APPROVALS_KEY) or "")
        case = _case(input_dict, exec_properties, problem)
        required = requirements(case.settings, json.loads(exec_properties[spec.JUDGES_KEY]))
        live = case.live
        decision = decide(
            judge(required, case),
            approvals,
            model={
                "id": case.model.id,
                "name": wording.one_line(Path(exec_properties[spec.MODEL_DIR_KEY]).name),
                "node": case.model_node,
                "digest": case.model_digest or "",
            },
            served=None if live is None else vars(live),
            now=datetime.now(timezone.utc),
        )
        _log(decision)
        recorded = artifact_utils.get_single_instance(output_dict[spec.DECISION_KEY])
        digest = recording.write_decision(decision, recorded, _picture(case))
        recording.write_blessing(
            decision,
            artifact_utils.get_single_instance(output_dict[spec.BLESSING_KEY]),
            model=case.model,
            served=case.served,
            recorded=recorded,
            decision_digest=digest,
            component_id=str(exec_properties.get("current_component_id") or ""),
        )


def _case(inputs: _Artifacts, properties: dict[str, Any], approvals_problem: str) -> Case:
    model = artifact_utils.get_single_instance(inputs[spec.MODEL_KEY])
    found = {judge_id: evidence.only(inputs, key) for judge_id, key in _FINDINGS.items()}
    return Case(
        settings=json.loads(properties[spec.SETTINGS_KEY]),
        model=model,
        model_node=properties[spec.MODEL_NODE_KEY],
        findings={judge_id: finding for judge_id, finding in found.items() if finding is not None},
        served=evidence.only(inputs, spec.SERVED_KEY),
        live=Live.now(properties[spec.MODEL_DIR_KEY], model),
        infra_blessing=evidence.only(inputs, spec.INFRA_BLESSING_KEY),
        failed_nodes=properties.get(FAILED_NODES) or "",
        approvals_problem=approvals_problem,
        state_dir=properties.get(spec.STATE_DIR_KEY) or "",
    )


def _approvals(path: str) -> tuple[list[Approval], str]:
    """The approvals, and why they cannot be read; then nothing is forced and, as there may be a hold, nothing blessed."""
    try:
        return (load(path) if path else []), ""
    except ConfigError as error:
        return [], str(error)


def _picture(case: Case) -> str | None:
    """Of the clients, if it is part of a finding that counts."""
    if case.problem(CLIENTS):
        return None
    return picture.safe(Path(case.findings[CLIENTS].uri, PICTURE_FILE))


def _log(decision: Decision) -> None:
    """One line: the decision itself, and the summary of the run, have what was observed and required."""
    model = f"Model {decision.model['id']} of {decision.model['name']}"
    failed = [check.id for check in decision.with_verdict(FAILED)]
    why = f": {wording.count(len(failed), 'check')} failed: {', '.join(failed)}" if failed else ""
    level = logging.INFO if decision.blessed and not failed else logging.WARNING
    logger.log(level, "%s %s%s", model, page.verdict(decision), why)
