"""The sections inside `gate`: slices, clients, the baseline, privacy, participation, the model server, bounds."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from errors import ConfigError
from pipeline.strict_yaml import (
    Check,
    Section,
    build,
    dotted,
    flag,
    items_of,
    number,
    only_known,
    optional,
    shown,
    text,
    whole,
    wrong,
)

_share = number(least=0, most=1)
_Limit = Annotated[float | None, optional(number(above=0))]

metric_name = text(r"[A-Za-z_]\w*", "the name of a metric class, such as SparseCategoricalAccuracy")
_Metric = Annotated[str | None, optional(metric_name)]


@dataclass(frozen=True)
class Bounds:
    """The ends, both included, between which a metric must lie; None is no end."""

    min: float | None = None
    max: float | None = None


@dataclass(frozen=True)
class ChangeBounds(Bounds):
    """The ends between which a metric's difference to the served model's must lie, or that difference over the latter."""

    relative: bool = False


def _ends(key: str, value: object, kind: type[Bounds], known: tuple[str, ...]) -> Bounds:
    limits = dataclasses.asdict(value) if isinstance(value, Bounds) else only_known(key, value, known)
    checks: dict[str, Check] = {"min": optional(number()), "max": optional(number()), "relative": flag()}
    bounds = kind(**{name: checks[name](dotted(key, name), limit) for name, limit in limits.items()})
    if bounds.min is None and bounds.max is None:
        raise ConfigError(f"{key}: no threshold; give {'min, max or both' if 'min' in known else 'max'}")
    if bounds.min is not None and bounds.max is not None and bounds.min > bounds.max:
        raise wrong(key, "min to be at most max", limits)
    return bounds


def bounds(key: str, value: object) -> Bounds:
    """Checks a mapping of min and max."""
    return _ends(key, value, Bounds, ("min", "max"))


def bounds_by_metric(key: str, value: object) -> dict[str, Bounds]:
    """Checks a mapping of metrics to bounds."""
    return {name: bounds(dotted(key, name), limits) for name, limits in _by_metric(key, value).items()}


def changes_by_metric(key: str, value: object) -> dict[str, ChangeBounds]:
    """Checks a mapping of metrics to bounds of their change."""
    known = ("min", "max", "relative")
    checked = {name: _ends(dotted(key, name), limits, ChangeBounds, known) for name, limits in _by_metric(key, value).items()}
    return {name: limits for name, limits in checked.items() if isinstance(limits, ChangeBounds)}


def _by_metric(key: str, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise wrong(key, "a mapping of metric names to bounds, such as {SparseCategoricalAccuracy: {min: 0.9}}", value)
    return {metric_name(key, name): limits for name, limits in value.items()}


def parameters_by_metric(key: str, value: object) -> dict[str, dict[str, Any]]:
    """Checks a mapping of metrics to the arguments of their constructors, which must be plain values."""
    if not isinstance(value, Mapping):
        raise wrong(key, "a mapping of metric names to their parameters, such as {AUC: {num_thresholds: 1000}}", value)
    return {metric_name(key, name): _parameters(dotted(key, name), given) for name, given in value.items()}


def _parameters(key: str, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not value:
        raise wrong(key, "a mapping of parameters to values, such as {num_thresholds: 1000}", value)
    return {_parameter(key, name): _plain(dotted(key, name), inner) for name, inner in value.items()}


_parameter = text(r"[A-Za-z_]\w*", "the name of a parameter")


def _plain(key: str, value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(key, item) for item in value]
    if isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise wrong(key, "a number, text, true, false or a list of these", value)


def _quantiles(key: str, value: object) -> dict[str, Bounds]:
    if not isinstance(value, Mapping):
        raise wrong(key, "a mapping of quantiles to bounds, such as {0.1: {min: 0.8}}", value)
    checked: dict[str, Bounds] = {}
    for given, limits in value.items():
        name = _quantile(key, given)
        if name in checked:
            raise wrong(key, "each quantile once", value)
        checked[name] = bounds(dotted(key, name), limits)
    return checked


def _quantile(key: str, given: Any) -> str:
    """The one spelling of a quantile, of which there may be a number or a text: 0.10, .1 and '0.1' are 0.1."""
    try:
        share = float(given)
    except (TypeError, ValueError, OverflowError):
        share = math.nan
    if isinstance(given, bool) or not 0 <= share <= 1:
        raise wrong(key, "quantiles from 0 to 1 (0.1: a tenth of the clients lies below)", given)
    return f"{share:.12g}"


def _dispersion(key: str, value: object) -> Bounds:
    limits = {"max": value.max} if isinstance(value, Bounds) and value.min is None else value
    checked = _ends(key, limits, Bounds, ("max",))
    if checked.max is not None and checked.max < 0:
        raise wrong(dotted(key, "max"), "a finite number of at least 0", checked.max)
    return checked


SLICES = "a list whose items are a feature, a list of features, or a mapping with the key features"
_features = items_of(text(allowed="the name of a feature"), "a list of features")


def _some_features(key: str, value: object) -> tuple[str, ...]:
    features = _features(key, [value] if isinstance(value, str) else value)
    if not features:
        raise wrong(key, "at least one feature; all examples together are always judged", value)
    return features


@dataclass(frozen=True)
class SliceGate(Section):
    """The examples that have the same value of some features; every value is a slice of its own."""

    SECTION: ClassVar[str] = "gate.slices"
    features: Annotated[tuple[str, ...], _some_features]
    thresholds: Annotated[Mapping[str, Bounds], bounds_by_metric] = field(default_factory=dict)
    """Bounds for metrics on each slice."""
    change: Annotated[Mapping[str, ChangeBounds], changes_by_metric] = field(default_factory=dict)
    """Bounds for the difference to the served model on each slice."""
    min_examples: Annotated[int, whole(1)] = 1
    """Slices with fewer examples are not judged."""


def _slice(key: str, value: object) -> SliceGate:
    if isinstance(value, SliceGate):
        return value
    if isinstance(value, Mapping):
        return build(SliceGate, value)
    if not isinstance(value, str | list | tuple):
        raise wrong(key, SLICES, value)
    return SliceGate(features=_some_features(key, value))


def distinct_slices(key: str, value: object) -> tuple[SliceGate, ...]:
    """Checks a list of slices; one by a feature alone may be written as that feature, one without bounds as its features."""
    checked = items_of(_slice, SLICES)(key, value)
    by_features = [frozenset(each.features) for each in checked]
    if len(set(by_features)) < len(by_features):
        raise wrong(key, "the features of each item once", [list(each.features) for each in checked])
    return checked


@dataclass(frozen=True)
class WorsenedGate(Section):
    """How many clients may be worse off than with the model that is served."""

    SECTION: ClassVar[str] = "gate.clients.worsened"
    by: Annotated[float, number(least=0)]
    """A client got worse if its metric did by more than this."""
    max_share: Annotated[float, _share]
    """The largest share of the clients that may have got worse."""


@dataclass(frozen=True)
class ClientsGate(Section):
    """What the evaluation clients must reach, each by itself."""

    SECTION: ClassVar[str] = "gate.clients"
    metric: _Metric = None
    """None: the principal metric of the model's kind."""
    min_clients: Annotated[int, whole(1)] = 10
    """With fewer clients nothing about single ones is shown or judged."""
    min_examples: Annotated[int, whole(1)] = 1
    """Clients with fewer examples are left out."""
    quantiles: Annotated[Mapping[str, Bounds], _quantiles] = field(default_factory=dict)
    """Quantile of the clients' metrics, as text -> bounds."""
    worst_decile: Annotated[Bounds | None, optional(bounds)] = None
    """Bounds for the mean over the worst tenth of the clients."""
    dispersion: Annotated[Bounds | None, optional(_dispersion)] = None
    """Bound for the standard deviation over the clients."""
    worsened: WorsenedGate | None = None

    @property
    def bounded(self) -> bool:
        """Whether anything is required of the clients."""
        return bool(self.quantiles or self.worst_decile or self.dispersion or self.worsened)


@dataclass(frozen=True)
class BaselineGate(Section):
    """How much worse than the centralised model the federated one may be."""

    SECTION: ClassVar[str] = "gate.baseline"
    metric: _Metric = None
    """None: the principal metric of the model's kind."""
    margin: Annotated[float | None, optional(number(least=0))] = None
    """None: 0.02, or a twentieth of the baseline's where the metric is an error without an upper end."""
    relative: Annotated[bool | None, optional(flag())] = None
    """Whether the margin is a share of the baseline's metric."""
    confidence: Annotated[float, number(above=0.5, below=1)] = 0.95
    """That of the lower end of the difference, by a paired bootstrap."""
    resamples: Annotated[int, whole(100)] = 10000

    def validate(self) -> None:
        if self.margin is None and self.relative is not None:
            raise ConfigError(f"gate.baseline.relative: used only with margin; got {shown(self.relative)}")


@dataclass(frozen=True)
class PrivacyGate(Section):
    """The most that the model, with all trained before it on the same clients, may tell about one of them."""

    SECTION: ClassVar[str] = "gate.privacy"
    max_epsilon: Annotated[float, number(above=0)]
    max_delta: Annotated[float | None, optional(number(above=0, below=1))] = None


@dataclass(frozen=True)
class ParticipationGate(Section):
    """What the rounds must have been like; None: not required."""

    SECTION: ClassVar[str] = "gate.participation"
    min_clients_per_round: Annotated[int | None, optional(whole(1))] = None
    min_rounds: Annotated[int | None, optional(whole(1))] = None
    max_excluded_updates: Annotated[int | None, optional(whole(0))] = None
    """Over all rounds."""
    max_weight_share: Annotated[float | None, optional(number(above=0, most=1))] = None
    """Of one client in one round."""


@dataclass(frozen=True)
class ServingGate(Section):
    """What the model must do in a model server; None: not required."""

    SECTION: ClassVar[str] = "gate.serving"
    samples: Annotated[int, whole(1)] = 32
    """Examples whose answers are compared."""
    requests: Annotated[int, whole(1)] = 200
    """Requests whose latency is measured, by REST and by gRPC each."""
    tolerance: Annotated[float, number(least=0)] = 1e-4
    """Largest difference between an answer and what the Evaluator saw."""
    max_p50_ms: _Limit = None
    max_p99_ms: _Limit = None
    max_memory_mb: _Limit = None
    max_size_mb: _Limit = None
    allowed_ops: Annotated[
        tuple[str, ...], items_of(text(r"[A-Za-z_][\w>]*", "the name of a TensorFlow op"), "a list of names of TensorFlow ops")
    ] = ()
    """Ops beyond the list of those that only compute."""
