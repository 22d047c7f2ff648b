"""The Evaluator's metrics against thresholds, overall and on slices, and against those of the served model."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from tfx.components.evaluator import constants

from components.deploy_gate import metric_names, wording
from components.deploy_gate.case import Case, NotApplicable, Unknown
from components.deploy_gate.observed import SINGLE, Observed, room, within
from components.deploy_gate.requirements import EVALUATOR, Requirement

_NOT_EVALUATED_FILE = "not_evaluated.json"
_CANDIDATE, _SERVED = "candidate", "served"
_EXAMPLES = "example_count"
_SHOWN = 3


class Key(NamedTuple):
    """A metric as TFMA reports it; `rest` tells outputs, classes and weights apart, empty for a metric with one value."""

    name: str
    rest: str


Values = Mapping[Key, Any]
Slice = tuple[tuple[str, str], ...]


class Evaluation(NamedTuple):
    """Metrics by slice, sorted by feature, and by model (`candidate` or `served`)."""

    slices: Mapping[Slice, Mapping[str, Values]]


class Item(NamedTuple):
    """One value of a requirement: where it was measured, the value, and its rounding error."""

    where: str
    value: float
    slack: float


def blessing(requirement: Requirement, case: Case) -> Observed:
    """The Evaluator's verdict by its own thresholds, which is written down twice and must be about this model."""
    found = case.evaluation_blessing
    if found is None:
        return Observed(False, "there is no blessing of the Evaluator")
    about = found.get_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY)
    if about != case.model.id:
        return Observed(False, f"it is about model {about}, not about model {case.model.id}")
    blessed = found.get_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY) == constants.BLESSED_VALUE
    names = (constants.BLESSED_FILE_NAME, constants.NOT_BLESSED_FILE_NAME)
    files = [name for name in names if os.path.exists(os.path.join(found.uri, name))]
    if files != [names[0 if blessed else 1]]:
        return Observed(False, f"ML Metadata says blessed={int(blessed)}, the files {' and '.join(files) or 'nothing'}")
    return Observed(blessed, "blessed" if blessed else "not blessed")


def overall(requirement: Requirement, case: Case) -> Observed:
    """Holds a metric on all examples, or its change, against its limit."""
    models = _evaluation(case).slices.get(())
    if models is None:
        raise Unknown("not evaluated: there are no metrics on all examples")
    return _judged(list(_look(requirement, case)(models, "")), requirement)


def sliced(requirement: Requirement, case: Case) -> Observed:
    """The same on every slice by some features that has enough examples; the worst is shown."""
    look, limit = _look(requirement, case), requirement.limit
    features = tuple(sorted(limit["features"]))
    found = {key: models for key, models in _evaluation(case).slices.items() if key and _features(key) == features}
    if not found:
        raise Unknown(f"not known: no evaluation example has {' and '.join(features)}")
    large = {key: models for key, models in found.items() if _large_enough(models, limit["min_examples"])}
    left_out = len(found) - len(large)
    small = f"{wording.count(left_out, 'slice')} with fewer than {wording.count(limit['min_examples'], 'example')}"
    if not large:
        raise NotApplicable(f"all there is: {small}")
    items = [item for key, models in sorted(large.items()) for item in look(models, _named(key))]
    judged = _judged(items, requirement)
    return Observed(
        judged.passed, judged.text + f"; {wording.count(len(large), 'slice')}" + (f", and {small}" * bool(left_out))
    )


def _look(requirement: Requirement, case: Case) -> Callable[[Mapping[str, Values], str], Iterator[Item]]:
    limit = requirement.limit
    names = case.once(
        ("names", limit["metric"]), lambda: metric_names.value_names(limit["metric"], limit.get("parameters") or None)
    )
    if requirement.id.split("/")[-2] == "value":
        return lambda models, where: _values(models, where, names, limit)
    case.comparable()
    return lambda models, where: _changes(models, where, names, limit)


def _values(models: Mapping[str, Values], where: str, names: set[str], limit: Mapping[str, Any]) -> Iterator[Item]:
    for key, value in _of(models, _CANDIDATE, names, limit, where).items():
        yield Item(_place(key, where), value, 0.0)


def _changes(models: Mapping[str, Values], where: str, names: set[str], limit: Mapping[str, Any]) -> Iterator[Item]:
    """Candidate minus served. The metrics are in single precision, so a difference is known to their last bits only."""
    candidate, served = (_of(models, model, names, limit, where) for model in (_CANDIDATE, _SERVED))
    if candidate.keys() != served.keys():
        raise Unknown(f"not known: {limit['metric']} of the served model has other values{where and ' ' + where}")
    for key, value in candidate.items():
        was = served[key]
        change, error = value - was, SINGLE * max(abs(value), abs(was))
        if limit.get("relative") and change and not was:
            raise Unknown(f"not known: the served model's {limit['metric']} is 0{where and ' ' + where}, a share of it is not")
        scale = abs(was) if limit.get("relative") and was else 1.0
        yield Item(_place(key, where), change / scale, error / scale)


def _of(models: Mapping[str, Values], model: str, names: set[str], limit: Mapping[str, Any], where: str) -> dict[Key, float]:
    """The values of one metric of one model; all of them finite, at least one."""
    found = {key: value for key, value in models.get(model, {}).items() if key.name in names}
    place = f"{where and ' ' + where}{' for the served model' if model == _SERVED else ''}"
    if not found:
        raise Unknown(f"not known: the evaluation has no {limit['metric']}{place}")
    if any(value is None for value in found.values()):
        raise Unknown(f"not known: {limit['metric']} is not a single number{place}")
    for value in found.values():
        if value - value != 0:  # NaN or infinite
            raise Unknown(f"{limit['metric']} is {value}{place}: not a finite number")
    return found


def _judged(items: list[Item], requirement: Requirement) -> Observed:
    """All values must lie within the limit. Shows those that do not, or the one that is nearest to it."""
    limit, signed = requirement.limit, requirement.id.split("/")[-2] == "change"
    failed = [item for item in items if not within(item.value, limit, item.slack)]
    items = sorted(failed or items, key=lambda item: room(item.value, limit))
    shown = items[: _SHOWN if failed else 1]
    text = ", ".join(_shown(item, limit, signed) for item in shown)
    more = f" and {len(items) - len(shown)} more" if failed and len(items) > len(shown) else ""
    worst = " at worst" if not failed and len(items) > 1 else ""
    return Observed(bool(items) and not failed, f"{text}{more}{worst}")


def _shown(item: Item, limit: Mapping[str, Any], signed: bool) -> str:
    text = wording.number(item.value, limit.get("min"), limit.get("max"), signed=signed)
    return f"{text} {item.where}".rstrip()


def _place(key: Key, where: str) -> str:
    return f"({wording.one_line(key.rest, 60)}) {where}".strip() if key.rest else where


def _large_enough(models: Mapping[str, Values], least: int) -> bool:
    if least <= 1:
        return True
    counts = [value for key, value in models.get(_CANDIDATE, {}).items() if key.name == _EXAMPLES]
    if not counts or counts[0] is None:
        raise Unknown("not known: the evaluation does not count the examples of a slice")
    return bool(counts[0] >= least)


def _features(key: Slice) -> tuple[str, ...]:
    return tuple(feature for feature, _ in key)


def _named(key: Slice) -> str:
    """A slice in words; its values come from the data, so they are kept on one line and short."""
    return "where " + " and ".join(f"{feature} is {wording.one_line(value, 40)}" for feature, value in key)


def _evaluation(case: Case) -> Evaluation:
    folder = case.folder(EVALUATOR)
    evaluation: Evaluation = case.once(Evaluation, lambda: read(str(folder)))
    return evaluation


def read(uri: str) -> Evaluation:
    """Reads the metrics in a ModelEvaluation's directory.

    Raises:
      Unknown: the model was not evaluated, or the files cannot be read.
    """
    import tensorflow_model_analysis as tfma

    if reason := _not_evaluated(uri):
        raise Unknown(f"not evaluated: {reason}")
    names = {tfma.CANDIDATE_KEY: _CANDIDATE, "": _CANDIDATE, tfma.BASELINE_KEY: _SERVED}
    slices: dict[Slice, dict[str, dict[Key, Any]]] = {}
    try:
        for metrics in tfma.load_metrics(uri):
            models = slices.setdefault(_slice(metrics.slice_key), {})
            for item in metrics.metric_keys_and_values:
                if not item.key.is_diff and item.key.model_name in names:
                    models.setdefault(names[item.key.model_name], {})[_key(item.key)] = _value(item.value)
    except Exception as error:  # whatever TensorFlow's reader or protobuf's parser makes of damaged bytes
        raise Unknown(f"not known: the evaluation cannot be read ({type(error).__name__})") from error
    return Evaluation(slices)


def _not_evaluated(uri: str) -> str | None:
    path = os.path.join(uri, _NOT_EVALUATED_FILE)
    if not os.path.exists(path):
        return None
    try:
        with open(path, encoding="utf-8") as file:
            return wording.one_line(json.load(file)["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        return "no reason was recorded"


def _slice(slice_key: Any) -> Slice:
    pairs = ((pair.column, getattr(pair, pair.WhichOneof("kind") or "bytes_value")) for pair in slice_key.single_slice_keys)
    return tuple(sorted((column, _text(value)) for column, value in pairs))


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _key(key: Any) -> Key:
    parts = [f"output {key.output_name}"] if key.output_name else []
    for field, word in (("class_id", "class"), ("k", "at rank"), ("top_k", "top")):
        if key.sub_key.HasField(field):
            parts.append(f"{word} {getattr(key.sub_key, field).value}")
    parts += [" ".join(str(key.aggregation_type).split())] if key.HasField("aggregation_type") else []
    return Key(key.name, ", ".join([*parts, *(["weighted"] if key.example_weighted.value else [])]))


def _value(value: Any) -> float | None:
    return float(value.double_value.value) if value.HasField("double_value") else None
