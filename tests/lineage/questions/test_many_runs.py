"""Golden answers on a store of 200 runs of two pipelines, with cached, failed and dead ones, and how long they take."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lineage.questions import impact, listing, origin

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
SECONDS = 1.0


def test_every_served_version_leads_to_its_own_run_and_data(two_hundred_runs: Any) -> None:
    trained = {model: run for run, model in two_hundred_runs.models.items()}
    with two_hundred_runs.places.opened() as store:
        for (name, version), model in two_hundred_runs.pushed.items():
            found = origin.of_text(f"{name}/{version}", store, two_hundred_runs.places)
            number = int(trained[model].split("-")[1].split(".")[0])
            assert (found.model.id, found.trained_by.name, found.pipeline) == (model, trained[model], name)
            assert found.served.bytes == "as pushed"
            # Two runs in ten took their data from the run before of their pipeline.
            data = int(found.data[0].record.run.split("-")[1].split(".")[0])
            assert data == number if number % 10 not in (6, 7) else data < number
            assert found.data[0].fingerprint == f"{data // 5:064x}"
            assert {found.split.record.run, found.schema.record.run} == {found.data[0].record.run}
            assert {one.run for one in found.things if one.type == "components.GateDecision"} == {trained[model]}


def test_lists_tell_every_run_and_mark_the_live_models(two_hundred_runs: Any) -> None:
    with two_hundred_runs.places.opened() as store:
        lines = listing.run_lines(store, two_hundred_runs.places)
        live = listing.model_lines(store, two_hundred_runs.places, live=True)
        refused = listing.run_lines(store, two_hundred_runs.places, state="refused")
    assert [line.run for line in lines] == list(reversed(two_hundred_runs.runs))
    counted = {state: sum(line.state == state for line in lines) for state in ("complete", "failed", "dead")}
    assert counted == {"complete": 190, "failed": 5, "dead": 5}
    newest = {
        name: max(version for model, version in two_hundred_runs.pushed if model == name) for name in ("digits", "reviews")
    }
    assert {line.id for line in live} == {two_hundred_runs.pushed[item] for item in newest.items()}
    assert all(int(line.run.split("-")[1].split(".")[0]) % 3 == 2 for line in refused)


def test_data_reaches_the_models_of_its_run_and_of_those_that_took_it_from_the_cache(two_hundred_runs: Any) -> None:
    with two_hundred_runs.places.opened() as store:
        run = origin.of_text("run:20260101-000124.000000", store, two_hundred_runs.places)
        found = impact.of_text(f"id:{run.data[0].record.id}", store, two_hundred_runs.places)
    federated = {came.model.run for came in found.models if came.model.node == "FederatedTrainer"}
    assert federated == {"20260101-000124.000000", "20260101-000126.000000"}


def test_show_takes_less_than_a_second_as_a_process(two_hundred_runs: Any) -> None:
    places = two_hundred_runs.places
    command = [
        sys.executable,
        "-m",
        "lineage",
        "show",
        "digits",
        "--pipeline-root",
        places.root,
        "--serving-root",
        places.serving_root,
    ]
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - began)
    assert "they are what was pushed" in done.stdout
    assert min(seconds) < SECONDS
