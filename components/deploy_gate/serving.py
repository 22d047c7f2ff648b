"""ServingCheck's report against the limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from components.deploy_gate import reading, wording
from components.deploy_gate.case import Case, Unknown
from components.deploy_gate.observed import Observed
from components.deploy_gate.requirements import SERVING, Requirement
from components.judged import REPORT_FILE

_WAYS = ("rest", "grpc")
_MEGABYTE = 1_000_000
_SHOWN = 5

Report = Mapping[str, Any]


def observe(requirement: Requirement, case: Case) -> Observed:
    """Looks at what the report says of one requirement."""
    report = case.once((SERVING, REPORT_FILE), lambda: reading.report(case.folder(SERVING) / REPORT_FILE))
    return _LOOKS[requirement.id.partition("/")[2]](report, requirement.limit)


def _loadable(report: Report, limit: Mapping[str, Any]) -> Observed:
    problems = _texts(report, "problems")
    loadable = report.get("loadable") is True and not problems
    return Observed(loadable, "no reason against it" if loadable else problems or "it may not be loaded")


def _ops(report: Report, limit: Mapping[str, Any]) -> Observed:
    refused = _texts(report, "refused_ops")
    return Observed(not refused, refused or "none")


def _weights(report: Report, limit: Mapping[str, Any]) -> Observed:
    weights = reading.part(report, "weights")
    values, broken = reading.amount(weights, "values"), reading.amount(weights, "non_finite")
    if not values:
        raise Unknown("not known: no weights were found in the model")
    return Observed(broken == 0, f"{broken:,} of {values:,}" if broken else f"none of {values:,}")


def _server(report: Report, limit: Mapping[str, Any]) -> Observed:
    server = _asked(report)
    errors = {way: reading.amount(reading.part(server, "errors"), way) for way in _WAYS}
    if any(errors.values()):
        return Observed(False, f"errors: {errors['rest']} by REST, {errors['grpc']} by gRPC")
    samples, requests = reading.amount(server, "samples"), reading.amount(server, "requests")
    if not samples or not requests:
        raise Unknown("not known: nothing was asked")
    return Observed(True, f"answered {wording.count(samples, 'sample')} and {wording.count(requests, 'request')}")


def _predictions(report: Report, limit: Mapping[str, Any]) -> Observed:
    server = _asked(report)
    broken, samples = reading.amount(server, "non_finite"), reading.amount(server, "samples")
    if not samples:
        raise Unknown("not known: nothing was asked")
    return Observed(broken == 0, f"{broken:,} of {samples:,}" if broken else f"none of {samples:,}")


def _answers(report: Report, limit: Mapping[str, Any]) -> Observed:
    server = _asked(report)
    found = {way: reading.number(reading.part(server, "max_difference"), way) for way in _WAYS}
    most = limit["most"]
    text = f"differ by at most {wording.number(found['rest'], most)} (REST), {wording.number(found['grpc'], most)} (gRPC)"
    return Observed(max(found.values()) <= most, text)


def _latency(percentile: str) -> Callable[[Report, Mapping[str, Any]], Observed]:
    def look(report: Report, limit: Mapping[str, Any]) -> Observed:
        server = _asked(report)
        found = {way: reading.number(reading.part(server, "latency_ms", way), percentile) for way in _WAYS}
        most = limit["most"]
        text = f"{wording.number(found['rest'], most)} ms (REST), {wording.number(found['grpc'], most)} ms (gRPC)"
        return Observed(max(found.values()) <= most, text)

    return look


def _memory(report: Report, limit: Mapping[str, Any]) -> Observed:
    return _megabytes(reading.number(_asked(report), "memory_bytes"), limit["most"])


def _size(report: Report, limit: Mapping[str, Any]) -> Observed:
    return _megabytes(reading.number(report, "size_bytes"), limit["most"])


def _megabytes(found: float, most: float) -> Observed:
    return Observed(0 < found <= most * _MEGABYTE, f"{wording.number(found / _MEGABYTE, most)} MB")


def _asked(report: Report) -> Mapping[str, Any]:
    """What the server did; unknown if it did not run to the end."""
    if report.get("server") is None:
        raise Unknown("not known: the model was not loaded into a server")
    server = reading.part(report, "server")
    if "problem" not in server:
        raise Unknown("not known: no problem, and no absence of one, was recorded")
    if server["problem"] is not None:
        raise Unknown(wording.one_line(server["problem"]))
    return server


def _texts(report: Report, key: str) -> str:
    found = report.get(key)
    if not isinstance(found, list):
        raise Unknown(f"not known: no {key} was recorded")
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return wording.one_line("; ".join(map(str, found[:_SHOWN]))) + more


_LOOKS: dict[str, Callable[[Report, Mapping[str, Any]], Observed]] = {
    "loadable": _loadable,
    "ops": _ops,
    "weights": _weights,
    "server": _server,
    "predictions": _predictions,
    "answers": _answers,
    "p50": _latency("p50"),
    "p99": _latency("p99"),
    "memory": _memory,
    "size": _size,
}
