"""The metrics of single clients against the limits; nothing about fewer clients than the config allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from components import scores
from components.answers import CANDIDATE, SERVED
from components.deploy_gate import predictions, reading, wording
from components.deploy_gate.case import Case, NotApplicable, Unknown
from components.deploy_gate.observed import DOUBLE, Observed, settled, within
from components.deploy_gate.requirements import CLIENTS, Requirement
from components.federated_evaluator.distribution import worst_decile
from components.federated_evaluator.report import METRICS_FILE
from components.judged import SUMMARY_FILE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values = NDArray[np.float64]


class Figures(NamedTuple):
    """The metric of some models over the clients that count: those that are large enough.

    values: model -> float64 [clients], of those with a value for each of the models. clients: how many count at all.
    """

    values: Mapping[str, Values]
    clients: int

    @property
    def undefined(self) -> int:
        """How many clients that count are without a value."""
        return self.clients - len(next(iter(self.values.values())))


def observe(requirement: Requirement, case: Case) -> Observed:
    """Looks at the clients of the model under test, or of both models."""
    look, summary = requirement.id.split("/")[1], _summary(case)
    _require_cohort(summary, case.settings["clients"]["min_clients"], required=look != _FINITE)
    if look == _FINITE:
        return predictions.finite(summary)
    return _LOOKS[look](requirement.limit, case)


def _require_cohort(summary: Mapping[str, Any], least: int, *, required: bool) -> None:
    """Raises NotApplicable for too few clients; Unknown for none at all, if someone required anything of them."""
    clients = reading.amount(summary, "clients")
    if required and not clients:
        raise Unknown("no evaluation clients at all")
    if clients < least:
        raise NotApplicable(f"{wording.count(clients, 'client')}, fewer than the {least} of which single ones may be judged")
    if summary.get("shown") is not True:
        raise Unknown(f"not known: nothing was recorded of {wording.count(clients, 'client')}")


def _quantile(limit: Mapping[str, Any], case: Case) -> Observed:
    import numpy as np

    values, told = _values(limit, case)
    return _held(float(np.quantile(values, limit["quantile"])), limit, told)


def _worst_decile(limit: Mapping[str, Any], case: Case) -> Observed:
    values, told = _values(limit, case)
    return _held(worst_decile(limit["metric"], values), limit, told)


def _dispersion(limit: Mapping[str, Any], case: Case) -> Observed:
    values, told = _values(limit, case)
    return _held(float(values.std()), limit, told, size=float(abs(values).max()))


def _values(limit: Mapping[str, Any], case: Case) -> tuple[Values, str]:
    """The metric of the model under test, and of how many clients it is."""
    figures = _figures([CANDIDATE], limit, case)
    values = figures.values[CANDIDATE]
    if not figures.undefined:
        return values, wording.count(len(values), "client")
    of = f"{len(values):,} of {wording.count(figures.clients, 'client')}"
    return values, f"{of}, {figures.undefined:,} without a value"


def _held(value: float, limit: Mapping[str, Any], clients: str, size: float | None = None) -> Observed:
    """Holds a value against its limit; its rounding error is that of numbers of this size, None: of its own."""
    value = settled(value, limit, DOUBLE * (abs(value) if size is None else size))
    return Observed(within(value, limit), f"{wording.number(value, limit.get('min'), limit.get('max'))} over {clients}")


def _worsened(limit: Mapping[str, Any], case: Case) -> Observed:
    import numpy as np

    case.comparable()
    figures = _figures([CANDIDATE, SERVED], limit, case)
    candidate, served = figures.values[CANDIDATE], figures.values[SERVED]
    loss = served - candidate if scores.HIGHER_IS_BETTER[limit["metric"]] else candidate - served
    worse = int((loss > limit["by"] + DOUBLE * np.maximum(abs(candidate), abs(served))).sum())
    share = worse / len(loss)
    left = f"; {figures.undefined:,} of {wording.count(figures.clients, 'client')} without a value" * bool(figures.undefined)
    return Observed(share <= limit["max"], f"{worse:,} of {wording.count(len(loss), 'client')}, {100 * share:.3g} %{left}")


def _figures(models: list[str], limit: Mapping[str, Any], case: Case) -> Figures:
    import numpy as np

    table = case.once((CLIENTS, METRICS_FILE), lambda: _table(case))
    names = {model: f"{model}:{limit['metric']}" for model in models}
    if missing := [name for name in ("examples", *names.values()) if name not in table]:
        raise Unknown(f"not known: no {missing[0]} was recorded")
    for model in models:
        predictions.require_finite(_summary(case), model)
    large = _large(table["examples"], limit)
    values = {model: table[name][large] for model, name in names.items()}
    defined = {model: np.isfinite(of) for model, of in values.items()}
    _require_defined(defined, limit)
    everywhere = np.logical_and.reduce(list(defined.values()))
    return Figures({model: of[everywhere] for model, of in values.items()}, len(everywhere))


def _large(examples: Values, limit: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Which clients are large enough to count; raises NotApplicable if they are too few."""
    large: NDArray[np.bool_] = examples >= limit["min_examples"]
    if large.sum() < limit["min_clients"]:
        raise NotApplicable(
            f"{wording.count(int(large.sum()), 'client')} with at least {wording.count(limit['min_examples'], 'example')},"
            f" fewer than the {limit['min_clients']} of which single ones may be judged"
        )
    return large


def _require_defined(defined: Mapping[str, NDArray[np.bool_]], limit: Mapping[str, Any]) -> None:
    """A metric may be undefined for some clients, as AUC is for one whose labels are all alike, but not by a model's doing."""
    import numpy as np

    everywhere, metric = np.logical_and.reduce(list(defined.values())), limit["metric"]
    least = max(limit["min_clients"], (len(everywhere) + 1) // 2)
    if everywhere.sum() < least:
        raise Unknown(
            f"not known: {metric} is defined for {everywhere.sum()} of {wording.count(len(everywhere), 'client')}, expected"
            f" at least half, and the {limit['min_clients']} of which single ones may be judged"
        )
    lost = int((defined[SERVED] & ~defined[CANDIDATE]).sum()) if SERVED in defined else 0
    if lost:
        clients = f"{wording.count(lost, 'client')} {'has' if lost == 1 else 'have'}"
        raise Unknown(f"not known: {clients} a value under the served model alone")


def _summary(case: Case) -> Mapping[str, Any]:
    found: Mapping[str, Any] = case.once(
        (CLIENTS, SUMMARY_FILE), lambda: reading.evaluated(case.folder(CLIENTS) / SUMMARY_FILE)
    )
    return found


def _table(case: Case) -> dict[str, Any]:
    import numpy as np
    from pyarrow import parquet

    try:
        table = parquet.read_table(case.folder(CLIENTS) / METRICS_FILE)
    except (OSError, ValueError) as error:
        raise Unknown(f"not known: {METRICS_FILE} cannot be read ({type(error).__name__})") from error
    numeric = [name for name in table.column_names if name == "examples" or ":" in name]
    return {name: np.asarray(table[name].to_numpy(), dtype=np.float64) for name in numeric}


_FINITE = "finite"
_LOOKS: dict[str, Callable[[Mapping[str, Any], Case], Observed]] = {
    "quantile": _quantile,
    "worst-decile": _worst_decile,
    "dispersion": _dispersion,
    "worsened": _worsened,
}
