"""The metrics of single clients against the limits; nothing about fewer clients than the config allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from components import scores
from components.deploy_gate import reading, wording
from components.deploy_gate.case import Case, NotApplicable, Unknown
from components.deploy_gate.observed import Observed, within
from components.deploy_gate.requirements import CLIENTS, Requirement
from components.federated_evaluator.distribution import worst_decile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

_SUMMARY_FILE, _CLIENTS_FILE = "summary.json", "client_metrics.parquet"
_CANDIDATE, _SERVED = "candidate", "served"


def observe(requirement: Requirement, case: Case) -> Observed:
    """Looks at the clients of the model under test, or of both models."""
    summary = reading.evaluated(case.folder(CLIENTS) / _SUMMARY_FILE)
    _require_cohort(summary, case.settings["clients"]["min_clients"])
    look = requirement.id.split("/")[1]
    if look == "finite":
        return _finite(summary)
    return _LOOKS[look](requirement.limit, case)


def _require_cohort(summary: Mapping[str, Any], least: int) -> None:
    clients = reading.amount(summary, "clients")
    if clients < least:
        raise NotApplicable(f"{wording.count(clients, 'client')}, fewer than the {least} of which single ones may be judged")
    if summary.get("shown") is not True:
        raise Unknown(f"not known: nothing was recorded of {wording.count(clients, 'client')}")


def _finite(summary: Mapping[str, Any]) -> Observed:
    broken = reading.amount(reading.part(summary, "non_finite"), _CANDIDATE)
    examples = reading.amount(summary, "examples")
    return Observed(broken == 0, f"{broken:,} of {examples:,}" if broken else f"none of {examples:,}")


def _quantile(limit: Mapping[str, Any], case: Case) -> Observed:
    import numpy as np

    values = _of(_CANDIDATE, limit, case)
    return _held(float(np.quantile(values, limit["quantile"])), limit, len(values))


def _worst_decile(limit: Mapping[str, Any], case: Case) -> Observed:
    values = _of(_CANDIDATE, limit, case)
    return _held(worst_decile(limit["metric"], values), limit, len(values))


def _dispersion(limit: Mapping[str, Any], case: Case) -> Observed:
    values = _of(_CANDIDATE, limit, case)
    return _held(float(values.std()), limit, len(values))


def _held(value: float, limit: Mapping[str, Any], clients: int) -> Observed:
    text = f"{wording.number(value, limit.get('min'), limit.get('max'))} over {wording.count(clients, 'client')}"
    return Observed(within(value, limit), text)


def _worsened(limit: Mapping[str, Any], case: Case) -> Observed:
    case.comparable()
    candidate, served = _columns([_CANDIDATE, _SERVED], limit, case)
    loss = served - candidate if scores.HIGHER_IS_BETTER[limit["metric"]] else candidate - served
    worse = int((loss > limit["by"]).sum())
    share = worse / len(loss)
    return Observed(share <= limit["max"], f"{worse:,} of {wording.count(len(loss), 'client')}, {100 * share:.3g} %")


def _of(model: str, limit: Mapping[str, Any], case: Case) -> Values:
    return _columns([model], limit, case)[0]


def _columns(models: list[str], limit: Mapping[str, Any], case: Case) -> list[Values]:
    """The metric of each model, of the clients that count: large enough, and with a value for each of the models."""
    import numpy as np

    table = case.once(_CLIENTS_FILE, lambda: _table(case))
    names = [f"{model}:{limit['metric']}" for model in models]
    if missing := [name for name in ("examples", *names) if name not in table]:
        raise Unknown(f"not known: no {missing[0]} was recorded")
    large = table["examples"] >= limit["min_examples"]
    if large.sum() < limit["min_clients"]:
        raise NotApplicable(
            f"{wording.count(int(large.sum()), 'client')} with at least {wording.count(limit['min_examples'], 'example')},"
            f" fewer than the {limit['min_clients']} of which single ones may be judged"
        )
    values = [table[name][large] for name in names]
    if any(np.isinf(column).any() for column in values):
        raise Unknown(f"{limit['metric']} of some clients is not a finite number")
    defined = ~np.isnan(values).any(axis=0)
    if defined.sum() < limit["min_clients"]:
        raise Unknown(
            f"not known: {limit['metric']} is defined for {defined.sum()} of {wording.count(len(defined), 'client')}, fewer"
            f" than the {limit['min_clients']} of which single ones may be judged"
        )
    return [column[defined] for column in values]


def _table(case: Case) -> dict[str, Any]:
    import numpy as np
    from pyarrow import parquet

    try:
        table = parquet.read_table(case.folder(CLIENTS) / _CLIENTS_FILE)
    except (OSError, ValueError) as error:
        raise Unknown(f"not known: {_CLIENTS_FILE} cannot be read ({type(error).__name__})") from error
    numeric = [name for name in table.column_names if name == "examples" or ":" in name]
    return {name: np.asarray(table[name].to_numpy(), dtype=np.float64) for name in numeric}


_LOOKS: dict[str, Callable[[Mapping[str, Any], Case], Observed]] = {
    "quantile": _quantile,
    "worst-decile": _worst_decile,
    "dispersion": _dispersion,
    "worsened": _worsened,
}
