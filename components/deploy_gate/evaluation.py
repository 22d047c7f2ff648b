"""The Evaluator's metrics against thresholds, overall and on slices, and against those of the served model."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from components.answers import CANDIDATE, SERVED
from components.deploy_gate import metric_names, wording
from components.deploy_gate.case import Case, NotApplicable, Unknown
from components.deploy_gate.observed import SINGLE, Observed, room, settled, within
from components.deploy_gate.requirements import EVALUATOR, Requirement
from components.model_evaluator.spec import NOT_EVALUATED_FILE

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
    """One value of a requirement, and where it was measured; a limit itself, if rounding alone sets it apart from that."""

    where: str
    value: float


def made(requirement: Requirement, case: Case) -> Observed:
    """Whether the model was analysed at all, on how many examples: without any, no limit of the others says anything."""
    if reason := _not_evaluated(str(case.folder(EVALUATOR))):
        return Observed(False, f"not made: {reason}")
    examples = _count(_evaluation(case).slices.get((), {}), "all slices")
    return Observed(examples >= 1, wording.count(round(examples), "example"))


def overall(requirement: Requirement, case: Case) -> Observed:
    """Holds a metric on all examples, or its change, against its limit."""
    models = _evaluation(case).slices.get(())
    if models is None:
        raise Unknown("not evaluated: there are no metrics on all examples")
    return _judged(list(_look(requirement, case)(models, "")), requirement)


def sliced(requirement: Requirement, case: Case) -> Observed:
    """The same on every slice by some features that has enough examples; the worst is shown.

    Examples that lack a feature are on no slice. They are told, and too many of them fail, as nobody judged them.
    """
    look, limit, slices = _look(requirement, case), requirement.limit, _evaluation(case).slices
    found, least = _cut(slices, limit["features"]), limit["min_examples"]
    counts = {key: _count(models, "a slice") for key, models in found.items()}
    covered = _coverage(_count(slices.get((), {}), "all slices"), sum(counts.values()), limit)
    large = {key: models for key, models in found.items() if counts[key] >= least}
    left_out = len(found) - len(large)
    small = f"{wording.count(left_out, 'slice')} with fewer than {wording.count(least, 'example')}"
    if not large:
        text = f"all there is: {small}{covered.text}"
        if covered.passed:
            raise NotApplicable(text)
        return Observed(False, text)
    items = [item for key, models in sorted(large.items()) for item in look(models, _named(key))]
    judged = _judged(items, requirement)
    text = f"{judged.text}; {wording.count(len(large), 'slice')}{f', and {small}' if left_out else ''}{covered.text}"
    return Observed(judged.passed and covered.passed, text)


def _cut(slices: Mapping[Slice, Mapping[str, Values]], features: list[str]) -> dict[Slice, Mapping[str, Values]]:
    """The slices by these features, in whatever order they are given; at least one."""
    by = tuple(sorted(features))
    found = {key: models for key, models in slices.items() if key and _features(key) == by}
    if not found:
        raise Unknown(f"not known: no evaluation example has {' and '.join(by)}")
    return found


def _coverage(examples: float, on_slices: float, limit: Mapping[str, Any]) -> Observed:
    """Whether the examples that are on no slice are fewer than a slice must have to be judged."""
    features = " and ".join(limit["features"])
    if on_slices > examples:  # then some may be on none as well, but nobody can tell
        return Observed(True, f"; some examples have several values of {features}")
    told = f"; {on_slices:,.0f} of {wording.count(round(examples), 'example')} have a value of {features}"
    return Observed(examples - on_slices < limit["min_examples"], told if on_slices < examples else "")


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
    for key, value in _of(models, CANDIDATE, names, limit, where).items():
        yield Item(_place(key, where), settled(value, limit))


def _changes(models: Mapping[str, Values], where: str, names: set[str], limit: Mapping[str, Any]) -> Iterator[Item]:
    """Candidate minus served. The metrics are in single precision, so a difference is known to their last bits only."""
    candidate, served = (_of(models, model, names, limit, where) for model in (CANDIDATE, SERVED))
    if candidate.keys() != served.keys():
        raise Unknown(f"not known: {limit['metric']} of the served model has other values{where and ' ' + where}")
    for key, value in candidate.items():
        was = served[key]
        change, error = value - was, SINGLE * max(abs(value), abs(was))
        if limit.get("relative") and change and not was:
            raise Unknown(f"not known: the served model's {limit['metric']} is 0{where and ' ' + where}, a share of it is not")
        scale = abs(was) if limit.get("relative") and was else 1.0
        yield Item(_place(key, where), settled(change / scale, limit, error / scale))


def _of(models: Mapping[str, Values], model: str, names: set[str], limit: Mapping[str, Any], where: str) -> dict[Key, float]:
    """The values of one metric of one model; all of them finite, at least one."""
    found = {key: value for key, value in models.get(model, {}).items() if key.name in names}
    place = f"{where and ' ' + where}{' for the served model' if model == SERVED else ''}"
    if not found:
        raise Unknown(f"not known: the evaluation has no {limit['metric']}{place}")
    if any(value is None for value in found.values()):
        raise Unknown(f"not known: {limit['metric']} is not a single number{place}")
    for value in found.values():
        if not math.isfinite(value):
            raise Unknown(f"{limit['metric']} is {value}{place}: not a finite number")
    return found


def _judged(items: list[Item], requirement: Requirement) -> Observed:
    """All values must lie within the limit. Shows those that do not, or the one that is nearest to it."""
    limit, signed = requirement.limit, requirement.id.split("/")[-2] == "change"
    failed = [item for item in items if not within(item.value, limit)]
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


def _count(models: Mapping[str, Values], where: str) -> float:
    counts = [value for key, value in models.get(CANDIDATE, {}).items() if key.name == _EXAMPLES]
    if len(counts) != 1 or counts[0] is None or not math.isfinite(counts[0]):
        raise Unknown(f"not known: the evaluation does not count the examples of {where}")
    return float(counts[0])


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
      Unknown: the model was not evaluated, the files cannot be read, or a slice is in them twice.
    """
    import tensorflow_model_analysis as tfma

    if reason := _not_evaluated(uri):
        raise Unknown(f"not evaluated: {reason}")
    names = {tfma.CANDIDATE_KEY: CANDIDATE, "": CANDIDATE, tfma.BASELINE_KEY: SERVED}
    slices: dict[Slice, dict[str, dict[Key, Any]]] = {}
    try:
        for metrics in tfma.load_metrics(uri):
            key = _slice(metrics.slice_key)
            if key in slices:
                raise Unknown(f"not known: the evaluation has {_spelled(key)} twice")
            models = slices.setdefault(key, {})
            for item in metrics.metric_keys_and_values:
                if not item.key.is_diff and item.key.model_name in names:
                    models.setdefault(names[item.key.model_name], {})[_key(item.key)] = _value(item.value)
    except Unknown:
        raise
    except Exception as error:  # whatever TensorFlow's reader or protobuf's parser makes of damaged bytes
        raise Unknown(f"not known: the evaluation cannot be read ({type(error).__name__})") from error
    return Evaluation(slices)


def _not_evaluated(uri: str) -> str | None:
    path = os.path.join(uri, NOT_EVALUATED_FILE)
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
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


def _spelled(key: Slice) -> str:
    return ", ".join(f"{feature}={wording.one_line(value, 40)}" for feature, value in key) or "the metrics on all examples"


def _key(key: Any) -> Key:
    parts = [f"output {key.output_name}"] if key.output_name else []
    for field, word in (("class_id", "class"), ("k", "at rank"), ("top_k", "top")):
        if key.sub_key.HasField(field):
            parts.append(f"{word} {getattr(key.sub_key, field).value}")
    parts += [" ".join(str(key.aggregation_type).split())] if key.HasField("aggregation_type") else []
    return Key(key.name, ", ".join([*parts, *(["weighted"] if key.example_weighted.value else [])]))


def _value(value: Any) -> float | None:
    return float(value.double_value.value) if value.HasField("double_value") else None
