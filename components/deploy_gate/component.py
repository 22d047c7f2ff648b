"""DeployGate: all findings about a model in, one decision and the one blessing that Pusher obeys out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts

from components.artifacts import GateDecision
from components.deploy_gate import spec
from components.deploy_gate.executor import Executor
from components.deploy_gate.requirements import requirements
from components.uncached_driver import UncachedDriver


class DeployGate(base_component.BaseComponent):
    """Decides whether a model goes live; see `requirements.requirements` for what it must meet.

    Never cached: what is served, an approval's expiry and the privacy ledger change without its inputs changing.

    Outputs:
      blessing: a ModelBlessing as the stock Evaluator's, and bound to the decision: custom properties `decision_uri` and
        `decision_digest` (sha256 of decision.json), which the file BLESSED or NOT_BLESSED holds as well.
      decision: a GateDecision.
    """

    SPEC_CLASS = spec.DeployGateSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
    DRIVER_CLASS = UncachedDriver

    def __init__(
        self,
        *,
        model: types.BaseChannel,
        settings: Mapping[str, Any],
        model_node: str,
        model_dir: str,
        judges: Sequence[str],
        state_dir: str = "",
        approvals: str = "",
        evaluation: types.BaseChannel | None = None,
        serving_report: types.BaseChannel | None = None,
        paired_scores: types.BaseChannel | None = None,
        client_metrics: types.BaseChannel | None = None,
        served: types.BaseChannel | None = None,
        infra_blessing: types.BaseChannel | None = None,
    ) -> None:
        """Makes the node. A finding that is not wired, or resolved to nothing, fails what depends on it.

        Args:
          model: the Model under test.
          settings: the `gate` section of the config with every default filled in.
          model_node: id of the node that makes the model.
          model_dir: the serving directory of this model, `serving.layout.model_directory(base, model_name)`.
          judges: ids of the nodes whose findings must be there, beyond those that the settings need anyway.
          state_dir: folder that holds `privacy/` with the ledgers of the trainings; empty: the model's own figure counts.
          approvals: file of approvals, see `approvals.py`; empty: nobody may override.
          evaluation: the Evaluator's ModelEvaluation.
          serving_report: ServingCheck's ServingReport.
          paired_scores: PairedEvaluator's PairedScores.
          client_metrics: FederatedEvaluator's ClientMetrics.
          served: the Model that is served now, or the one before it if that is the model under test.
          infra_blessing: the stock InfraValidator's InfraBlessing.

        Raises:
          ConfigError: the settings or the judges are not what the gate knows.
        """
        requirements(settings, judges)
        inputs = {
            spec.EVALUATION_KEY: evaluation,
            spec.SERVING_REPORT_KEY: serving_report,
            spec.PAIRED_SCORES_KEY: paired_scores,
            spec.CLIENT_METRICS_KEY: client_metrics,
            spec.SERVED_KEY: served,
            spec.INFRA_BLESSING_KEY: infra_blessing,
        }
        super().__init__(
            spec.DeployGateSpec(
                model=model,
                **{key: channel for key, channel in inputs.items() if channel is not None},
                settings=json.dumps(dict(settings), sort_keys=True),
                model_node=model_node,
                model_dir=model_dir,
                judges=json.dumps(list(judges)),
                state_dir=state_dir,
                approvals=approvals,
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
                decision=types.Channel(type=GateDecision),
            )
        )
