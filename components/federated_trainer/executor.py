"""FederatedTrainer's executor: resolves artifacts, trains in a process of its own, records."""

from __future__ import annotations

import json
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.federated_trainer import isolation, spec
from components.federated_trainer.rounds import Job
from errors import IntegrityError
from lineage.digests import tree_digest


class Executor(base_executor.BaseExecutor):
    """See component.FederatedTrainer."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Trains on `federated_examples` and fills `model` and `model_run`."""
        examples = artifact_utils.get_single_instance(input_dict[spec.FEDERATED_EXAMPLES_KEY])
        model = artifact_utils.get_single_instance(output_dict[spec.MODEL_KEY])
        run = artifact_utils.get_single_instance(output_dict[spec.MODEL_RUN_KEY])
        settings = json.loads(exec_properties[spec.SETTINGS_KEY])
        _check_digest(examples)
        job = Job(
            module=exec_properties[spec.MODULE_KEY],
            examples_uri=examples.uri,
            settings=settings,
            seed=exec_properties[spec.SEED_KEY],
            model_dir=path_utils.serving_model_dir(model.uri),
            run_dir=run.uri,
        )
        facts = isolation.run(job)
        _record(model, {**facts, "algorithm": settings["algorithm"], "clients_per_round": settings["clients_per_round"]})


def _check_digest(examples: types.Artifact) -> None:
    expected, got = examples.get_string_custom_property("digest"), tree_digest(examples.uri)
    if expected != got:
        raise IntegrityError(
            f"federated examples at {examples.uri} are not the ones that were published (digest {got[:12]}, expected"
            f" {(expected or 'none')[:12]}); run again with --from FederatedSplit."
        )


def _record(model: types.Artifact, facts: dict[str, Any]) -> None:
    for key, value in facts.items():
        if isinstance(value, str):
            model.set_string_custom_property(key, value)
        elif isinstance(value, int):
            model.set_int_custom_property(key, value)
        else:
            model.set_float_custom_property(key, value)
    model.set_string_custom_property("digest", tree_digest(model.uri))
