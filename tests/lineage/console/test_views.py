"""What the console's service tells of runs, models, artifacts and their graph."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path

import pytest

from errors import FedtfxError
from lineage import reading
from lineage.console import drawing
from lineage.console.aside import Aside
from lineage.console.drawing import Wish
from lineage.console.settings import Settings
from lineage.console.verifying import Verifier
from lineage.places import Places
from tests.lineage.console.asking import asking


def nodes(found: dict, **wanted: object) -> list[dict]:
    return [node for node in found["nodes"] if all(node.get(key) == value for key, value in wanted.items())]


def test_the_index_holds_every_run_and_says_which_models_are_live(ask, twenty_runs) -> None:
    runs, models = ask("/api/runs").json(), ask("/api/models").json()
    assert {run["run"] for run in runs} == set(twenty_runs.runs)
    assert {run["state"] for run in runs} >= {"complete", "failed"}
    last = {
        pipeline: max(version for name, version in twenty_runs.pushed if name == pipeline) for pipeline in ("digits", "reviews")
    }
    assert {model["id"] for model in models if model["live"]} == {
        twenty_runs.pushed[name, version] for name, version in last.items()
    }


def test_a_run_tells_each_execution_with_what_it_took_and_made(ask, twenty_runs) -> None:
    name = twenty_runs.runs[6]
    run = ask("/api/run", params={"name": name}).json()
    states = {one["node"]: one["state"] for one in run["executions"]}
    assert (states["ExampleGen"], states["FederatedTrainer"]) == ("cached", "complete")
    trainer = next(one for one in run["executions"] if one["node"] == "FederatedTrainer")
    assert [one["id"] for one in trainer["outputs"]["model"]] == [twenty_runs.models[name]]


def test_a_model_tells_its_origin_and_its_artifact_who_used_it(ask, twenty_runs) -> None:
    (name, version), number = max(twenty_runs.pushed.items(), key=lambda item: item[1])
    model = ask("/api/model", params={"id": number}).json()
    assert model["origin"]["name"] == f"{name}/{version}"
    assert model["origin"]["served"]["bytes"] == "as pushed"
    assert model["origin"]["decision"]["blessed"] is True
    artifact = ask("/api/artifact", params={"id": number}).json()
    assert artifact["live"] == f"{name}/{version}"
    assert artifact["maker"]["node"] == "FederatedTrainer"
    assert {"ServingCheck", "DeployGate", "Pusher"} <= {user["node"] for user in artifact["users"]}


def test_the_graph_of_a_model_goes_up_to_its_data_and_down_to_what_is_served(ask, twenty_runs) -> None:
    (name, version), number = max(twenty_runs.pushed.items(), key=lambda item: item[1])
    found = ask("/api/graph", params={"artifact": number, "up": "all", "down": "3"}).json()
    (focus,) = nodes(found, focus=True)
    assert (focus["number"], focus["live"], focus["kind"]) == (number, f"{name}/{version}", "model")
    assert {node["type"] for node in nodes(found, kind="data")} == {"Examples", "FederatedExamples"}
    (pushed,) = nodes(found, kind="pushed")
    assert pushed["live"] == f"{name}/{version}"
    ids = {node["id"] for node in found["nodes"]}
    assert all({edge["source"], edge["target"]} <= ids for edge in found["edges"])
    above = ask("/api/graph", params={"artifact": number, "up": "1", "down": "0"}).json()
    assert {node["type"] for node in nodes(above, **{"is": "artifact"})} == {"Model", "FederatedExamples"}


def test_failed_and_cached_executions_are_in_the_graph_when_asked_for(ask, twenty_runs) -> None:
    failed = ask("/api/run", params={"name": twenty_runs.runs[17]}).json()
    trainer = next(one for one in failed["executions"] if one["state"] == "failed")
    split = trainer["inputs"]["federated_examples"][0]["id"]
    asked = {"artifact": split, "up": "all", "down": "1", "failed": "1"}
    seen = ask("/api/graph", params=asked).json()
    assert {node["state"] for node in nodes(seen, **{"is": "execution"})} == {"complete", "failed"}
    unseen = ask("/api/graph", params=asked | {"failed": "0", "cached": "1"}).json()
    assert {node["state"] for node in nodes(unseen, **{"is": "execution"})} == {"complete", "cached"}


def test_a_graph_of_too_many_keeps_the_nearest_and_says_how_many_there_are(store_writer) -> None:
    _, made = store_writer.execute("p", "r", "Gen", outputs={"examples": [store_writer.artifact("Examples", "x")]})
    several = [store_writer.artifact("Model", f"m{number}") for number in range(drawing.MOST_NODES + 5)]
    store_writer.execute("p", "r", "Trainer", {"examples": made["examples"]}, {"model": several})
    found = drawing.around(reading.everything(store_writer.store), made["examples"], Wish(), {})
    assert found["artifacts_found"] == drawing.MOST_NODES + 6
    assert len(nodes(found, **{"is": "artifact"})) == drawing.MOST_NODES
    assert nodes(found, focus=True)


def judged(store_writer, run: str, model: int, split: int, blessed: int) -> dict[str, int]:
    """Writes what a run decides about a model that it may have from the cache, its push and its report."""
    write = store_writer
    about = {"model_id": model}
    decision = write.artifact("components.GateDecision", f"{run}/decision", blessed=blessed, **about)
    _, decided = write.execute("p", run, "DeployGate", {"model": [model]}, {"decision": [decision]})
    push = write.artifact("PushedModel", f"{run}/pushed", pushed=blessed, **about)
    taken = {"model": [model], "decision": decided["decision"]}
    _, pushed = write.execute("p", run, "Pusher", taken, {"pushed_model": [push]})
    report = write.artifact("components.RunReport", f"{run}/report", **about)
    _, told = write.execute("p", run, "RunReport", taken | {"examples": [split]}, {"report": [report]})
    return {"decision": decided["decision"][0], "push": pushed["pushed_model"][0], "report": told["report"][0]}


def test_a_model_is_drawn_with_the_word_of_the_run_that_pushed_it_and_the_rest_when_asked_for(store_writer) -> None:
    _, made = store_writer.execute("p", "1", "Split", outputs={"examples": [store_writer.artifact("Examples", "x")]})
    split = made["examples"][0]
    _, made = store_writer.execute(
        "p", "1", "FederatedTrainer", {"examples": [split]}, {"model": [store_writer.artifact("Model", "m")]}
    )
    model = made["model"][0]
    refused, pushed, later = (
        judged(store_writer, run, model, split, blessed) for run, blessed in (("1", 0), ("2", 1), ("3", 0))
    )
    graph = reading.everything(store_writer.store)

    def seen(focus: int, **wished: bool) -> set[int]:
        found = drawing.around(graph, [focus], Wish(**wished), {})
        return {node["number"] for node in nodes(found, **{"is": "artifact"})}

    assert seen(model) == {split, model, pushed["decision"], pushed["push"]}
    assert seen(split) == seen(model)
    assert seen(model, again=True) >= {refused["decision"], refused["push"], later["decision"], pushed["push"]}
    assert seen(model, reports=True) == seen(model) | {pushed["report"]}
    assert later["report"] in seen(model, again=True, reports=True)
    assert later["push"] in seen(later["decision"]) and pushed["push"] not in seen(later["decision"])
    assert drawing.around(graph, [model], Wish(), {})["left_out"] == {"again": 4, "reports": 1}
    assert pushed["report"] not in {node["number"] for node in nodes(drawing.of_run(graph, "2", {}), **{"is": "artifact"})}


@pytest.mark.parametrize(
    "path", ["/models/999999", "/models/1", "/models/x", "/artifacts/0", "/runs/none", "/nowhere", "/runs/a/b"]
)
def test_a_page_about_what_is_not_there_is_a_page_that_is_not_found(ask, path: str) -> None:
    answer = ask(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")


def test_a_page_about_what_is_there_is_found_whatever_it_is_called(store_writer, tmp_path: Path) -> None:
    store_writer.execute("p", "a/../b?#", "Gen", outputs={"model": [store_writer.artifact("Model", "x")]})
    ask = asking(Settings(Places(str(tmp_path), str(tmp_path / "models"), str(tmp_path / "metadata.sqlite"))))
    for path in ("/models/1", "/artifacts/1", "/runs/a%2F..%2Fb%3F%23"):
        assert ask(path).status_code == 200


@pytest.mark.parametrize(
    ("path", "parameters", "status", "why"),
    [
        ("/api/run", {"name": "none"}, 404, "expected a run"),
        ("/api/artifact", {"id": "x"}, 404, "expected the id of an artifact"),
        ("/api/artifact", {"id": "9" * 30}, 404, "expected the id of an artifact"),
        ("/api/graph", {"artifact": "1", "up": "-1"}, 400, "up: expected a number of steps or all"),
        ("/api/graph", {"run": "none"}, 404, "expected a run"),
        ("/api/model", {"id": "1"}, 400, "expected a model, got Examples"),
        ("/api/diff", {"a": "id:999999", "b": "id:1"}, 400, "expected the id of an artifact"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(ask, path: str, parameters: dict, status: int, why: str) -> None:
    answer = ask(path, params=parameters)
    assert (answer.status_code, "\n" in answer.json()["error"]) == (status, False)
    assert why in answer.json()["error"]


def test_two_models_are_compared_by_the_library(ask, twenty_runs) -> None:
    first, second = (twenty_runs.models[twenty_runs.runs[number]] for number in (0, 10))
    found = ask("/api/diff", params={"a": f"id:{first}", "b": f"id:{second}"}).json()
    changed = {fact["name"]: fact["difference"] for fact in found["groups"]["metrics"] if fact["a"] != fact["b"]}
    assert changed["train_accuracy"] == pytest.approx(0.001)


def finished(ask, target: str) -> dict:
    ask("/api/verify", params={"target": target, "start": "1"})
    until = time.monotonic() + 20
    while (known := ask("/api/verify", params={"target": target}).json())["state"] == "running":
        assert time.monotonic() < until
    return known


def test_a_verification_runs_beside_and_its_result_stays_with_its_time(ask, twenty_runs) -> None:
    target = f"id:{max(twenty_runs.pushed.values())}"
    assert ask("/api/verify", params={"target": target}).json() is None
    known = finished(ask, target)
    assert (known["state"], known["report"]["verified"]) == ("done", False)
    assert "missing" in known["report"]["counts"]  # of the directories there is none
    assert known["started_at"] <= known["finished_at"] <= time.time()
    refused = finished(ask, "/etc")
    assert (refused["state"], "expected NAME" in refused["why"]) == ("failed", True)


def test_only_one_verification_goes_on_at_a_time() -> None:
    go_on = threading.Event()

    def check(target: str, progress) -> dict:
        progress(5)
        go_on.wait(10)
        return {"verified": True}

    verifier = Verifier(check)
    assert verifier.start("a")["state"] == "running"
    assert verifier.start("a")["state"] == "running"
    with pytest.raises(FedtfxError, match="a is being verified now"):
        verifier.start("b")
    go_on.set()


def test_a_verification_that_takes_too_long_is_given_up_and_the_next_may_begin() -> None:
    go_on = threading.Event()

    def check(target: str, progress) -> dict:
        if target == "hangs":
            go_on.wait(10)
        return {"verified": True}

    verifier = Verifier(check, seconds=0.05)
    assert verifier.start("hangs")["limit"] == 0.05
    until = time.monotonic() + 10
    while verifier.known("hangs")["state"] == "running":
        assert time.monotonic() < until
    assert "expected to be done within 0.05 s" in verifier.known("hangs")["why"]
    assert verifier.start("other")["state"] in ("running", "done")
    go_on.set()


def test_verifications_that_still_hang_after_they_were_given_up_are_not_piled_up() -> None:
    go_on = threading.Event()
    verifier = Verifier(lambda target, progress: {"waited": go_on.wait(10)}, seconds=-1)
    for target in "abc":
        verifier.start(target)
    with pytest.raises(FedtfxError, match="3 verifications that took too long still wait for a file"):
        verifier.start("d")
    go_on.set()


def test_a_question_that_hangs_is_given_up_and_takes_one_place_only() -> None:
    go_on, aside = threading.Event(), Aside(2, 0.2)

    async def ask() -> int:
        with pytest.raises(FedtfxError, match=r"expected an answer within 0\.2 s"):
            await aside.ask(lambda: go_on.wait(10))
        return await aside.ask(lambda: 5)

    try:
        assert asyncio.run(ask()) == 5
        with pytest.raises(KeyError):
            asyncio.run(aside.ask(lambda: {}["x"]))
    finally:
        go_on.set()


def test_a_run_that_is_added_is_seen_without_a_restart(store_writer, tmp_path: Path) -> None:
    store_writer.execute("p", "first", "Gen", outputs={"examples": [store_writer.artifact("Examples", "x")]})
    ask = asking(Settings(Places(str(tmp_path), str(tmp_path / "models"), str(tmp_path / "metadata.sqlite"))))
    before = ask("/api/store").json()
    assert [run["run"] for run in ask("/api/runs").json()] == ["first"]
    store_writer.execute("p", "second", "Gen", outputs={"examples": [store_writer.artifact("Examples", "y")]})
    os.utime(tmp_path / "metadata.sqlite")  # two writes may fall into one tick of the file system's clock
    after = ask("/api/store").json()
    assert [run["run"] for run in ask("/api/runs").json()] == ["second", "first"]
    assert ask("/api/run", params={"name": "second"}).json()["executions"][0]["node"] == "Gen"
    assert after["read_at"] >= before["read_at"]
    assert ask("/api/store").json()["read_at"] == after["read_at"]


def test_a_store_that_went_away_is_said_and_not_a_defect(store_writer, tmp_path: Path) -> None:
    ask = asking(Settings(Places(str(tmp_path), str(tmp_path / "models"), str(tmp_path / "metadata.sqlite"))))
    (tmp_path / "metadata.sqlite").unlink()
    answer = ask("/api/models")
    assert answer.status_code == 400 and "expected an ML Metadata database" in answer.json()["error"]
