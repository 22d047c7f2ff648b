"""ServingCheck's report against its limits: each passes at the bound, and fails beyond it, and where it is not known."""

from __future__ import annotations

import math

import pytest

LIMITS = {"max_p50_ms": 2.0, "max_p99_ms": 8.0, "max_memory_mb": 300.0, "max_size_mb": 2.0}


@pytest.fixture
def limited(bench):
    bench.settings["serving"] |= LIMITS
    return bench


def put(report, path, value):
    *way, last = path.split(".")
    for key in way:
        report = report[key]
    report[last] = value


CASES = {
    "loadable": {"loadable": [False, None, 1, "yes"], "problems": [["Lambda layer"], None]},
    "ops": {"refused_ops": [["PyFunc"], None, "PyFunc"]},
    "weights": {"weights.non_finite": [1, None, -1, 0.5, True], "weights.values": [0, None], "weights": [None, []]},
    "server": {
        "server": [None, {}, "fine"],
        "server.problem": ["died with signal 9", ""],
        "server.errors.rest": [1, None],
        "server.errors.grpc": [1],
        "server.samples": [0, None],
        "server.requests": [0],
    },
    "predictions": {"server.non_finite": [1, None], "server": [None], "server.problem": ["timed out"], "server.samples": [0]},
    "answers": {
        "server.max_difference.rest": [1.0001e-4, None, math.nan, math.inf, "0"],
        "server.max_difference.grpc": [1.0001e-4, None],
        "server.max_difference": [None],
    },
    "p50": {"server.latency_ms.rest.p50": [2.001, None, math.nan], "server.latency_ms.grpc.p50": [2.001]},
    "p99": {"server.latency_ms.grpc.p99": [8.001, None, math.inf], "server.latency_ms.rest": [None, {}], "server": [None]},
    "memory": {"server.memory_bytes": [300_000_001, None, 0, math.nan]},
    "size": {"size_bytes": [2_000_001, None, 0]},
}


@pytest.mark.parametrize("name", CASES)
def test_report_at_its_limits_passes(limited, name):
    limited.report["server"]["max_difference"] = {"rest": 1e-4, "grpc": 1e-4}
    assert limited.verdict(f"serving/{name}") == "passed"


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [(name, path, value) for name, paths in CASES.items() for path, values in paths.items() for value in values],
)
def test_report_beyond_a_limit_or_without_the_figure_fails(limited, name, path, value):
    put(limited.report, path, value)
    assert limited.verdict(f"serving/{name}") == "failed"


@pytest.mark.parametrize("content", ["", "[]", "{", '{"format": 2}', pytest.param("[" * 100_000, id="deep")])
def test_report_that_is_none_fails_every_check_of_it(limited, content):
    from pathlib import Path

    from components import evidence

    report = limited.write()["serving_report"][0]
    Path(report.uri, "serving_report.json").write_text(content)
    evidence.record(report, limited.model)
    verdicts = {check.verdict for name, check in limited.checks().items() if name.startswith("serving/")}
    assert verdicts == {"failed"}


def test_report_in_words(limited):
    limited.report["refused_ops"] = ["PyFunc", "ReadFile"]
    limited.report["server"]["latency_ms"]["grpc"]["p99"] = 8.00004
    assert limited.check("serving/ops").observed == "PyFunc; ReadFile"
    assert limited.check("serving/p99").observed == "5 ms (REST), 8.00004 ms (gRPC)"
    assert limited.check("serving/size").observed == "2 MB"
    assert limited.check("serving/weights").observed == "none of 1,000"


def test_text_from_a_report_stays_on_one_short_line(limited):
    limited.report["problems"] = ["line one\nline two\x1b[2J\u2028" + "x" * 1000]
    observed = limited.check("serving/loadable").observed
    assert observed.startswith("line one line two [2J x") and observed.isprintable() and len(observed) <= 300
