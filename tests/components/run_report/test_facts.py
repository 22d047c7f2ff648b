"""What is read from a run, and that nothing is made up where something is missing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.run_report import facts as facts_of
from components.run_report import measured
from components.run_report.sources import Sources
from lineage.graph import Graph
from tests.components.run_report.finished import ACCURACY, CLIENT, PRIVATE, START


def test_run_with_everything_misses_nothing(made: Any) -> None:
    facts = made.facts()
    assert facts_of.missing(facts) == {}
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_numbers_are_those_of_the_records(made: Any) -> None:
    facts = made.facts()
    row = facts["metrics"]["rows"][0]
    assert (row["metric"], row["models"]["candidate"]["value"], row["constant"]) == (ACCURACY, 0.9, 0.12)
    assert facts["curves"]["metrics"]["loss"] == {"train": [[1, 2.0], [2, 1.0], [3, 0.5]], "heldout": [[2, 1.25], [3, 0.75]]}
    assert facts["data"]["splits"] == {"train": 1200, "eval": 50}
    assert facts["data"]["features"] == [{"name": "image", "type": "bytes", "shape": "1", "required": True, "values": None}]
    assert facts["training"]["settings"] == {"rounds": 3, "batch_size": 10, "participation.quorum": 2}
    assert facts["split"]["parameters"] == {"alpha": 0.5}
    assert facts["model"]["version"] == "17" and facts["model"]["live"]
    assert [row["slice"] for row in facts["slices"]["rows"]] == ["label = 7", "label = 3"]  # the worst first


def test_model_is_better_than_a_baseline_only_beyond_chance(made: Any) -> None:
    (comparison,) = made.facts()["metrics"]["comparisons"]
    assert (comparison["with"], comparison["verdict"]) == ("baseline", "better")
    assert comparison["difference"] == pytest.approx(0.4)
    assert comparison["low"] < 0.4 < comparison["high"]


def test_interval_of_a_share_is_wilsons_and_of_other_values_the_normal_one() -> None:
    assert measured.interval((np.arange(50) < 45).astype(float)) == pytest.approx((0.7864, 0.9565), abs=1e-4)
    assert measured.interval(np.ones(10)) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert measured.interval(np.array([1.0, 2.0, 3.0])) == pytest.approx((2 - 1.959964 / 3**0.5, 2 + 1.959964 / 3**0.5))


def test_artifact_has_its_own_digest_and_the_pushed_one_not_that_of_the_version(made: Any) -> None:
    rows = {row["role"]: row["digest"] for row in made.facts()["artifacts"]["rows"]}
    assert rows["examples"] == "01" * 32
    assert rows["pushed_model"] is None
    made.properties["pushed_model"]["record_digest"] = "cd" * 32
    assert {row["role"]: row["digest"] for row in made.facts()["artifacts"]["rows"]}["pushed_model"] == "cd" * 32


def test_lineage_names_what_an_earlier_run_made(made: Any) -> None:
    facts = made.facts()
    assert [node["node"] for node in facts["lineage"]["nodes"] if node["cached"]] == ["ExampleGen"]
    assert [(one["run"], one["nodes"], one["git_commit"]) for one in facts["code"]["earlier"]] == [
        ("run-0", ["ExampleGen"], "bead")
    ]
    assert facts["code"]["git_commit"] == "c0ffee"


def test_privacy_is_told_with_its_limits_and_plainly_where_there_is_none(made: Any) -> None:
    assert made.facts()["privacy"] == {"private": False, "said": facts_of.training.NO_PRIVACY}
    made.properties["federated_model"] |= PRIVATE
    told = made.facts()["privacy"]
    assert (told["epsilon"], told["epsilon_total"], told["seeded"]) == (2.5, 4.0, None)
    assert "does not cover" in told["not_covered"]
    made.properties["federated_model"]["noise"] = "seeded"
    assert "do not know the seed" in made.facts()["privacy"]["seeded"]


@pytest.mark.parametrize(
    ("role", "section", "why"),
    [
        ("decision", "decision", "the run has no decision of DeployGate"),
        ("federated_run", "curves", "the run has no model run of FederatedTrainer"),
        (
            "client_metrics",
            "clients",
            "no client was evaluated: the split holds nothing out (split.holdout, split.holdout_clients)",
        ),
        ("serving_report", "serving", "the run has no serving report of ServingCheck"),
    ],
)
def test_what_a_run_does_not_have_is_not_available_and_the_rest_is(made: Any, role: str, section: str, why: str) -> None:
    made.without = {role}
    assert facts_of.missing(made.facts()) == {section: why}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"checks": 3}', "\x00\xff"])
def test_damaged_file_makes_its_section_not_available_and_nothing_else(made: Any, content: str) -> None:
    (made.root / "decision" / "decision.json").write_text(content, encoding="utf-8")
    assert list(facts_of.missing(made.facts())) == ["decision"]


def test_directories_that_are_gone_leave_what_ml_metadata_knows(made: Any) -> None:
    for folder in made.root.iterdir():
        shutil.rmtree(folder)
    facts = made.facts()
    missing = facts_of.missing(facts)
    assert {"decision", "curves", "split", "clients", "serving"} <= missing.keys()
    assert "is gone" in missing["curves"]
    assert facts["training"]["rounds"] == 3
    assert not {"artifacts", "lineage", "model", "privacy", "code"} & missing.keys()


def test_without_ml_metadata_there_is_no_lineage_but_the_rest(made: Any) -> None:
    whole = made.sources()
    facts = facts_of.collect(Sources("digits", "run-1", whole.artifacts, Graph({}, {}, (), {}), {}), None, START)
    assert facts_of.missing(facts).keys() == {"about", "lineage", "code", "slices"}


def test_too_few_clients_are_not_shown(made: Any) -> None:
    few = {"evaluated": True, "shown": False, "clients": 3, "min_clients": 10}
    (made.root / "client_metrics" / "summary.json").write_text(json.dumps(few))
    assert facts_of.missing(made.facts()) == {
        "clients": "3 evaluation clients are fewer than the 10 of gate.clients.min_clients"
    }


def test_no_client_id_is_in_the_facts(made: Any) -> None:
    assert CLIENT not in json.dumps(made.facts())


def test_epochs_of_a_centralised_training_are_read_from_tensorboards_events(made: Any) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.plugins.scalar.summary_v2 import scalar_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(made.root / "central_run" / "train"))
    for step, value in enumerate((2.0, 1.0)):
        event = Event(step=step)
        event.summary.ParseFromString(scalar_pb("epoch_loss", value).SerializeToString())
        writer.add_event(event)
    writer.close()
    made.without = {"federated_model", "federated_run", "federated_examples", "client_metrics"}
    facts = made.facts()
    assert facts["curves"] == {"unit": "epoch", "metrics": {"loss": {"train": [[1, 2.0], [2, 1.0]]}}, "epsilon": []}
    assert facts["training"]["federated"] is False
    assert "pooled examples" in facts["privacy"]["said"]


def test_report_is_made_without_tfx_tensorflow_or_beam() -> None:
    heavy = ("tensorflow", "tfx", "apache_beam", "tensorflow_model_analysis")
    made = "components.run_report.writing, components.run_report.facts, lineage.card_command"
    script = f"import sys, {made}; print([name for name in {heavy} if name in sys.modules])"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("path", "source"),
    [("/data/penguins.csv", "files: /data/penguins.csv"), ("/data/penguins", "files: *.csv in /data/penguins")],
)
def test_source_that_is_one_file_is_named_as_it_is(made: Any, path: str, source: str) -> None:
    sources = made.sources()
    maker = sources.maker("examples")
    config = json.dumps({"splits": [{"name": "single_split", "pattern": "*.csv"}]})
    read = replace(maker, type="x.ContentExampleGen", properties={"input_base": path, "input_config": config})
    sources.graph.executions[maker.id] = read
    assert facts_of.collect(sources, None, START)["data"]["source"] == source
