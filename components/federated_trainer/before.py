"""What is looked at before the first round: whether the job can be done, which training it is, the weights it begins with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components.federated_split import blocks
from components.federated_trainer.aggregators import clients_needed
from components.federated_trainer.clients.population import Population
from components.federated_trainer.code_version import code_version
from errors import TrainingError
from lineage.digests import file_digest, tree_digest
from modeling import contract
from modeling.sample import sample_batch

if TYPE_CHECKING:
    from components.federated_trainer.rounds import Job

# Settings that do not change what a round gives, so that a training that stopped may go on with others: those of the section
# itself, and by the name of a section those in it.
_WITHOUT_EFFECT = ("executor", "checkpoint")
_WITHOUT_EFFECT_IN = {"participation": ("quorum", "retries"), "privacy": ("budget",)}


def check(module: contract.ModelModule, population: Population, job: Job) -> None:
    """Refuses what the clients, the model and the settings cannot do together.

    Raises:
      TrainingError: too few clients for what is asked of a round, or labels that the loss cannot take with the model's outputs.
    """
    if len(population) == 0:
        raise TrainingError("there are no clients with examples; look at FederatedSplit's picture and at split in the config.")
    _check_cohort(len(population), job.settings)
    described = partition(job.examples_uri)
    counted = described.get("parameters", {})
    # Where the label names the clients as well, its values are their ids, which no message may hold.
    if counted.get("label") == module.label_key != counted.get("key"):
        _check_labels(module, population.labels, described.get("examples_without_label", 0))


def partition(uri: str) -> dict[str, Any]:
    """Returns what FederatedSplit wrote of its work; Population.open has read it before."""
    return dict(json.loads(Path(uri, blocks.PARTITION_FILE).read_text(encoding="utf-8")))


def _check_cohort(population: int, settings: Mapping[str, Any]) -> None:
    size, rules, quorum = settings["clients_per_round"], settings["aggregation"], settings["participation"]["quorum"]
    if size is not None and size > population:
        raise TrainingError(
            f"train.clients_per_round is {size}, but there are {population} clients; set it to at most {population}."
        )
    needed = clients_needed(rules["rule"], rules["byzantine"] or 0)
    if needed > (size or population):
        raise TrainingError(
            f"train.aggregation.rule {rules['rule']} needs the updates of {needed} clients, but a round has"
            f" {size or population}; lower train.aggregation.byzantine, or take more clients."
        )
    if quorum > (size or population):
        raise TrainingError(
            f"train.participation.quorum is {quorum}, but a round has {size or population} clients; set it to at most that."
        )


def _check_labels(module: contract.ModelModule, labels: Sequence[str], missing: int) -> None:
    """Tries the loss on the least and the greatest label, as the index counts them, with the untrained model's outputs."""
    spec = module.features[module.label_key]
    if not spec.dtype.is_integer or list(spec.shape):
        return
    if missing and spec.default_value is None:
        raise TrainingError(
            f"{missing} examples have no label {module.label_key!r}; expected one in each. Leave them out of the data, or give"
            " FEATURES a default_value."
        )
    numbers = sorted(_whole(label) for label in labels)
    raw = {key: value for key, value in sample_batch(module).items() if key != module.label_key}
    outputs = module.build_model()(module.preprocess(raw), training=False)
    for number in dict.fromkeys((*numbers[:1], *numbers[-1:])):
        if why := _unfit(module, number, spec.dtype, outputs):
            raise TrainingError(
                f"label {number} does not go with the model's outputs of shape {list(outputs.shape[1:])}: {why}; expected one"
                " that build_loss() accepts. Change the model's last layer, or the labels."
            )


def _whole(label: str) -> int:
    try:
        return int(label)
    except ValueError:
        raise TrainingError(
            "there is a label that is no whole number; expected whole numbers, as FEATURES says. Change FEATURES, or the"
            " labels."
        ) from None


def _unfit(module: contract.ModelModule, label: int, kind: Any, outputs: Any) -> str:
    """Why the loss cannot take a label; empty if it can."""
    import tensorflow as tf

    try:
        value = float(module.build_loss()(tf.constant([label], kind), outputs))
    except (ValueError, TypeError, tf.errors.OpError) as error:
        return contract.one_line(error)
    return "" if np.isfinite(value) else f"the loss is {value}"


def identity(job: Job, module: contract.ModelModule) -> str:
    """Returns a digest of all that decides the training: a checkpoint of another one is never gone on from."""
    import tensorflow as tf

    parts = {
        "module": module.digest,
        "examples": file_digest(Path(job.examples_uri, blocks.PARTITION_FILE)),
        "settings": _deciding(job.settings),
        "seed": job.seed,
        "warm_start": tree_digest(job.warm_start) if job.warm_start else None,
        "code": code_version(),
        "tensorflow": tf.__version__,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _deciding(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without those that decide nothing."""
    kept = {key: value for key, value in settings.items() if key not in _WITHOUT_EFFECT}
    for section, left_out in _WITHOUT_EFFECT_IN.items():
        if kept[section] is not None:
            kept[section] = {key: value for key, value in kept[section].items() if key not in left_out}
    return kept


def initial_model(module: contract.ModelModule, seed: int, warm_start: str | None) -> Any:
    """Returns a new model of the module with seeded weights, or with those of the SavedModel `warm_start`.

    Raises:
      TrainingError: it is no SavedModel of Keras, or its weights do not fit.
    """
    import tensorflow as tf

    tf.keras.utils.set_random_seed(seed)
    model = module.build_model()
    if warm_start:
        found = _loaded(warm_start)
        expected, got = [list(weight.shape) for weight in model.weights], [list(weight.shape) for weight in found]
        if expected != got:
            raise TrainingError(
                f"the model to begin with has weights of shapes {got}; build_model() makes {expected}. Train it with this"
                " module."
            )
        model.set_weights(found)
    return model


def _loaded(path: str) -> list[np.ndarray]:
    import tensorflow as tf

    try:
        return list(tf.keras.models.load_model(path, compile=False).get_weights())
    except Exception as error:
        raise TrainingError(
            f"the model to begin with at {path} cannot be read ({type(error).__name__}: {contract.one_line(error)}); expected a"
            " SavedModel of Keras."
        ) from error


def assign(variables: Sequence[Any], values: Sequence[np.ndarray]) -> None:
    """Puts weights into a model that was made anew.

    Raises:
      TrainingError: build_model() does not give what it gave when the training began.
    """
    expected, got = [tuple(value.shape) for value in values], [tuple(variable.shape) for variable in variables]
    if expected != got:
        raise TrainingError(f"build_model() gives weights of shapes {got} now and gave {expected} when training began.")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
