"""The executor of FederatedEvaluator: resolves artifacts, measures, records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import artifact_utils

from components import answers, beam_parts, evidence, judged
from components.federated_evaluator import measuring, report, spec
from components.federated_evaluator.measuring import SIDE, Measuring
from components.federated_split.blocks import Clients
from components.judged import Judged

_PARTS_FOLDER = ".parts"


class Executor(BaseBeamExecutor):
    """Measures on Beam, some thousand examples of neighbouring clients at a time."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the ClientMetrics artifact; see `components.artifacts` for its layout.

        Raises:
          IntegrityError: an input is not what was published.
          DataError: the examples cannot be used; see `answers.Answers`, also for models that cannot answer.
        """
        examples = artifact_utils.get_single_instance(input_dict[spec.FEDERATED_EXAMPLES])
        finding = artifact_utils.get_single_instance(output_dict[spec.CLIENT_METRICS])
        models = Judged.of(input_dict)
        evidence.require_published(examples, "FederatedSplit")
        clients = Clients.open(examples.uri, SIDE)
        Path(finding.uri).mkdir(parents=True, exist_ok=True)
        loadable = judged.may_be_loaded(input_dict, models.candidate)
        shown = loadable and len(clients) >= exec_properties[spec.MIN_CLIENTS]
        if shown:
            metrics = json.loads(exec_properties[judged.METRICS])
            self._measure(models.asked(finding.uri, exec_properties), examples.uri, clients, metrics, exec_properties)
        else:
            few = report.of_few(len(clients), exec_properties[spec.MIN_CLIENTS])
            judged.write_summary(finding.uri, few if loadable else judged.NOT_EVALUATED)
        finding.set_int_custom_property(spec.CLIENTS, len(clients))
        finding.set_int_custom_property(spec.SHOWN, int(shown))
        evidence.record(finding, models.candidate, models.served)

    def _measure(
        self, asked: answers.Asked, uri: str, clients: Clients, metrics: Sequence[str], properties: dict[str, Any]
    ) -> None:
        sizes = measuring.sizes_of(clients)
        work = Measuring(asked, uri, tuple(metrics), measuring.bounds(sizes))
        try:
            parts = beam_parts.run(self._make_beam_pipeline, str(Path(asked.key, _PARTS_FOLDER)), len(work.bounds) - 1, work)
        finally:
            measuring.forget(asked)
        held_out = set(clients.held_out)
        measured = report.Measured.of(parts, [name for name, _ in asked.models], metrics, sizes)
        report.write(
            asked.key,
            measured,
            [client_id in held_out for client_id in clients.ids],
            kind=properties[judged.KIND],
            min_clients=properties[spec.MIN_CLIENTS],
        )
