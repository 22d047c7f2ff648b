"""FederatedTrainer's executor: resolves artifacts, trains in a process of its own, records."""

from __future__ import annotations

import json
from typing import Any

from tfx import types
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components import digested, properties
from components.federated_trainer import isolation, spec
from components.federated_trainer.rounds import Job
from errors import IntegrityError
from lineage.digests import tree_digest


class Executor(BaseBeamExecutor):
    """See component.FederatedTrainer."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Trains on `federated_examples`, from `base_model` on if there is one, and fills `model` and `model_run`.

        Raises:
          IntegrityError: an input is not what was published.
          FedtfxError: what the training raised.
        """
        examples = artifact_utils.get_single_instance(input_dict[spec.FEDERATED_EXAMPLES_KEY])
        model = artifact_utils.get_single_instance(output_dict[spec.MODEL_KEY])
        run = artifact_utils.get_single_instance(output_dict[spec.MODEL_RUN_KEY])
        settings = json.loads(exec_properties[spec.SETTINGS_KEY])
        _check_digest("federated examples", examples, "FederatedSplit")
        job = Job(
            module=exec_properties[spec.MODULE_KEY],
            examples_uri=examples.uri,
            settings=settings,
            seed=exec_properties[spec.SEED_KEY],
            model_dir=path_utils.serving_model_dir(model.uri),
            run_dir=run.uri,
            state_dir=exec_properties[spec.STATE_DIR_KEY],
            warm_start=_base_model(input_dict),
            beam_args=tuple(self._beam_pipeline_args),
        )
        facts = isolation.run(job)
        code = {key: exec_properties[key] for key in (spec.MODULE_KEY, spec.MODULE_DIGEST_KEY, spec.CODE_VERSION_KEY)}
        properties.put(model, {"algorithm": settings["algorithm"], **facts, **code})
        digested.record(output_dict)


def _base_model(input_dict: dict[str, list[types.Artifact]]) -> str | None:
    """The SavedModel to begin with; None for the module's own initial weights."""
    if not input_dict.get(spec.BASE_MODEL_KEY):
        return None
    base_model = artifact_utils.get_single_instance(input_dict[spec.BASE_MODEL_KEY])
    _check_digest("base model", base_model, "Trainer")
    return str(path_utils.serving_model_dir(base_model.uri))


def _check_digest(what: str, published: types.Artifact, made_by: str) -> None:
    expected, got = published.get_string_custom_property("digest"), tree_digest(published.uri)
    if expected != got:
        raise IntegrityError(
            f"expected the {what} at {published.uri} as published (digest {(expected or 'none')[:12]}), got other files (digest"
            f" {got[:12]}); run again with --from {made_by}."
        )
