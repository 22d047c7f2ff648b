"""What a model must meet to go live: the gate's settings as a list that can be read before anything is trained.

Pure: neither TFX nor TFMA nor any file. The observers (`observers.py`) look at each requirement in turn; what none of them
finds met has failed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components import scores
from components.deploy_gate import wording
from components.deploy_gate.settings import check
from errors import ConfigError

GATE = "DeployGate"
SERVING, EVALUATOR, PAIRED, CLIENTS, INFRA = (
    "ServingCheck",
    "Evaluator",
    "PairedEvaluator",
    "FederatedEvaluator",
    "InfraValidator",
)
JUDGES = (SERVING, EVALUATOR, PAIRED, CLIENTS, INFRA)
# Of the comparison with a constant, which is to tell that a model learned anything: it needs no setting.
_CONFIDENCE, _RESAMPLES = 0.95, 10_000


@dataclass(frozen=True)
class Requirement:
    """One thing that must hold.

    Attributes:
      id: names the requirement in decisions and approvals; the part before the first `/` names its observer.
      judge: id of the node whose finding decides it.
      what: what is looked at, in plain words.
      required: what must be seen, in plain words.
      forceable: whether an approval can put a model live that does not meet it.
      limit: what the observer needs to know.
    """

    id: str
    judge: str
    what: str
    required: str
    forceable: bool = True
    limit: Mapping[str, Any] = field(default_factory=dict)


def requirements(settings: Mapping[str, Any], judges: Sequence[str] = ()) -> list[Requirement]:
    """Returns all that a model must meet, in the order in which it is best read.

    Args:
      settings: the gate's settings with every default filled in, as `DeployGate` takes them.
      judges: ids of the nodes whose findings must be there whatever the settings ask for. Those that a requirement needs, the
        Evaluator and the ServingCheck must be there anyway.

    Raises:
      ConfigError: a setting is not known, a judge is not known, or two requirements are the same.
    """
    check(settings)
    needed = _judges(settings, judges)
    found = [*_evaluation(settings), *_slices(settings), *_constant(settings), *_baseline(settings["baseline"])]
    found += [*_clients(settings["clients"]), *_privacy(settings["privacy"]), *_participation(settings["participation"])]
    found += [_first_deploy(settings["first_deploy"]), *_serving(settings["serving"])]
    if INFRA in needed:
        found.append(Requirement("infra/blessed", INFRA, "the model in the serving image it is made for", "blessed"))
    found += [*_finite(needed), *_integrity(needed)]
    ids = [requirement.id for requirement in found]
    if twice := sorted({each for each in ids if ids.count(each) > 1}):
        raise ConfigError(f"gate: the same requirement is there twice: {', '.join(twice)}; keep one of each.")
    return found


def _judges(settings: Mapping[str, Any], judges: Sequence[str]) -> list[str]:
    if unknown := sorted(set(judges) - set(JUDGES)):
        raise ConfigError(f"gate: unknown judges {', '.join(unknown)}; expected some of {', '.join(JUDGES)}.")
    paired = settings["better_than_constant"] or settings["baseline"]
    clients = list(_clients(settings["clients"]))
    needed = {SERVING, EVALUATOR, *judges, *([PAIRED] if paired else []), *([CLIENTS] if clients else [])}
    return [judge for judge in JUDGES if judge in needed]


def _integrity(judges: Iterable[str]) -> Iterator[Requirement]:
    yield Requirement("run/nodes", GATE, "the other nodes of this run", "none failed", forceable=False)
    yield Requirement("model/bytes", GATE, "the model's files", "those that were published", forceable=False)
    yield Requirement("approvals/file", GATE, "the file of approvals, if one is named", "can be read", forceable=False)
    for judge in judges:
        if judge != INFRA:
            yield Requirement(
                f"evidence/{judge}",
                judge,
                f"the finding of {judge}",
                "there, unaltered, about this very model",
                forceable=False,
            )


def _serving(limits: Mapping[str, Any]) -> Iterator[Requirement]:
    def serving(name: str, what: str, required: str, forceable: bool = True, **limit: Any) -> Requirement:
        return Requirement(f"serving/{name}", SERVING, what, required, forceable, limit)

    yield serving("loadable", "whether the exported model may be loaded", "no reason against it", forceable=False)
    yield serving("ops", "operations off the allow-list", "none", forceable=False)
    yield serving("weights", "weights that are not finite", "none", forceable=False)
    yield serving("server", "the model in a server of its own", "starts and answers every request")
    yield serving("predictions", "answers that are not finite", "none", forceable=False)
    tolerance = limits["tolerance"]
    yield serving(
        "answers", "answers of the server against the evaluated predictions", f"differ by at most {tolerance:g}", most=tolerance
    )
    for key, percentile in (("max_p50_ms", "p50"), ("max_p99_ms", "p99")):
        if limits[key] is not None:
            most = limits[key]
            yield serving(percentile, f"latency, {percentile}, of REST and gRPC", f"at most {most:g} ms", most=most)
    for key, name, what in (
        ("max_memory_mb", "memory", "memory of the server at its peak"),
        ("max_size_mb", "size", "size of the model"),
    ):
        if limits[key] is not None:
            yield serving(name, what, f"at most {limits[key]:g} MB", most=limits[key])


def _finite(judges: Iterable[str]) -> Iterator[Requirement]:
    for judge, area, where in (
        (PAIRED, "predictions", "the evaluation examples"),
        (CLIENTS, "clients", "the clients' examples"),
    ):
        if judge in judges:
            yield Requirement(f"{area}/finite", judge, f"predictions on {where} that are not finite", "none", forceable=False)


def _first_deploy(setting: str) -> Requirement:
    none = ", or none yet" if setting == "allow" else " (for a first deploy set gate.first_deploy: allow)"
    required = f"one to compare with{none}"
    return Requirement("first-deploy", GATE, "the model that is served now", required, limit={"setting": setting})


def _evaluation(settings: Mapping[str, Any]) -> Iterator[Requirement]:
    yield from _metrics(settings, settings["thresholds"], settings["change"], "evaluation", "on all examples", {})
    yield Requirement("evaluation/made", EVALUATOR, "the Evaluator's analysis of this model", "made", forceable=False)


def _slices(settings: Mapping[str, Any]) -> Iterator[Requirement]:
    for cut in settings["slices"]:
        by = " and ".join(cut["features"])
        least = cut.get("min_examples") or 1
        where = f"on every slice by {by}" + (f" with at least {least} examples" if least > 1 else "")
        limit = {"features": list(cut["features"]), "min_examples": least}
        area = f"slice/{'+'.join(cut['features'])}"
        yield from _metrics(settings, cut.get("thresholds") or {}, cut.get("change") or {}, area, where, limit)


def _metrics(
    settings: Mapping[str, Any],
    thresholds: Mapping[str, Any],
    change: Mapping[str, Any],
    area: str,
    where: str,
    limit: Mapping[str, Any],
) -> Iterator[Requirement]:
    for metric, ends in thresholds.items():
        known = {**limit, "metric": metric, "parameters": settings["parameters"].get(metric) or {}, **ends}
        yield Requirement(f"{area}/value/{metric}", EVALUATOR, f"{metric} {where}", wording.bounds(ends), limit=known)
    for metric, ends in change.items():
        known = {**limit, "metric": metric, "parameters": settings["parameters"].get(metric) or {}, **ends}
        unit = " of the served model's value" if ends.get("relative") else ""
        yield Requirement(
            f"{area}/change/{metric}",
            EVALUATOR,
            f"change of {metric} from the served model {where}",
            wording.bounds(ends, signed=True) + unit,
            limit=known,
        )


def _constant(settings: Mapping[str, Any]) -> Iterator[Requirement]:
    if settings["better_than_constant"]:
        metric = scores.PRINCIPAL[settings["kind"]]
        yield Requirement(
            f"constant/{metric}",
            PAIRED,
            f"{metric} against the best constant prediction",
            f"better, with {100 * _CONFIDENCE:g} % confidence",
            limit={"metric": metric, "confidence": _CONFIDENCE, "resamples": _RESAMPLES},
        )


def _baseline(rule: Mapping[str, Any] | None) -> Iterator[Requirement]:
    if rule is None:
        return
    of = " of the baseline's value" if rule["relative"] else ""
    yield Requirement(
        f"baseline/{rule['metric']}",
        PAIRED,
        f"{rule['metric']} against the centralised baseline",
        f"worse by at most {rule['margin']:g}{of}, with {100 * rule['confidence']:g} % confidence",
        limit=dict(rule),
    )


def _clients(rule: Mapping[str, Any] | None) -> Iterator[Requirement]:
    if rule is None:
        return
    shared = {key: rule[key] for key in ("metric", "min_clients", "min_examples")}
    metric = rule["metric"]

    def clients(name: str, what: str, required: str, **limit: Any) -> Requirement:
        return Requirement(f"clients/{name}", CLIENTS, what, required, limit={**shared, **limit})

    for quantile, ends in rule["quantiles"].items():
        what = f"{metric}, {100 * float(quantile):g} % quantile over clients"
        yield clients(f"quantile/{float(quantile):g}", what, wording.bounds(ends), quantile=float(quantile), **ends)
    if rule["worst_decile"]:
        ends = rule["worst_decile"]
        yield clients("worst-decile", f"{metric}, mean over the worst tenth of clients", wording.bounds(ends), **ends)
    if rule["dispersion"]:
        ends = rule["dispersion"]
        yield clients("dispersion", f"{metric}, standard deviation over clients", wording.bounds(ends), **ends)
    if rule["worsened"]:
        by, share = rule["worsened"]["by"], rule["worsened"]["max_share"]
        what = f"clients whose {metric} is worse than under the served model by more than {by:g}"
        yield clients("worsened", what, f"at most {100 * share:g} % of clients", by=by, max=share)


def _privacy(rule: Mapping[str, Any] | None) -> Iterator[Requirement]:
    if rule is None:
        return
    yield Requirement(
        "privacy/epsilon",
        GATE,
        "epsilon of all trainings on these clients",
        f"at most {rule['max_epsilon']:g}",
        limit={"max": rule["max_epsilon"]},
    )
    if rule["max_delta"] is not None:
        yield Requirement(
            "privacy/delta", GATE, "delta of that epsilon", f"at most {rule['max_delta']:g}", limit={"max": rule["max_delta"]}
        )


_PARTICIPATION = {
    "min_clients_per_round": ("clients-per-round", "clients whose update counted, in the round with fewest", "min"),
    "min_rounds": ("rounds", "rounds completed", "min"),
    "max_excluded_updates": ("excluded-updates", "updates excluded because they were not finite", "max"),
    "max_weight_share": ("weight-share", "largest share of one client in a round", "max"),
}


def _participation(limits: Mapping[str, Any]) -> Iterator[Requirement]:
    for key, (name, what, end) in _PARTICIPATION.items():
        if limits[key] is not None:
            ends = {end: limits[key]}
            yield Requirement(f"participation/{name}", GATE, what, wording.bounds(ends), limit=ends)
