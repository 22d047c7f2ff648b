"""docs/reference/lineage-json.md tells of every key that `--json` prints."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lineage import reading, signing
from lineage.card_command import card
from lineage.clients import Holding
from lineage.forgetting import wording as forgotten
from lineage.forgetting.report import Report as Forgotten
from lineage.forgetting.report import Trained
from lineage.graph import MODEL
from lineage.questions import differing, impact, listing, origin
from lineage.retention import served
from lineage.retention.command import gc
from lineage.statement_commands import statement
from lineage.verify import checking

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "lineage-json.md"
# Below these the keys are names of settings, metrics, splits, facts, and what decision.json has.
OPEN = {
    "settings",
    "in_effect",
    "recorded",
    "privacy",
    "parameters",
    "metrics",
    "facts",
    "counts",
    "patterns",
    "checks",
    "nodes",
}
OPEN |= {"no_anomalies", "override", "approvals", "groups"}


def keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            if key not in OPEN:
                yield from keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)


def test_every_key_is_documented(pipelines: Any) -> None:
    first = pipelines.whole("r-1", text="1")
    pipelines.whole("r-2", base=first["model"], served=first["model"], text="1")
    pipelines.remove(first["model"])
    places = pipelines.places
    with places.opened() as store:
        printed = [
            origin.of_text("p", store, places).as_json(),
            impact.of_text(f"id:{first['examples']}", store, places).as_json(),
            differing.of_texts("p", f"id:{first['model']}", store, places).as_json(),
            [line.as_json() for line in listing.model_lines(store, places)],
            [line.as_json() for line in listing.run_lines(store, places)],
        ]
    assert undocumented("list", "show", "impact", "diff", printed=printed) == set()


def options(given: Any) -> list[str]:
    places = given.places
    return ["--pipeline-root", places.root, "--serving-root", places.serving_root, "--metadata", places.metadata]


def undocumented(*sections: str, printed: Any) -> set[str]:
    """Keys of which these sections of the page, and those that tell of parts of several answers, say nothing."""
    parts = PAGE.read_text(encoding="utf-8").split("\n## ")[1:]
    shown = [part for part in parts if not part.startswith("`") or part.startswith(tuple(f"`{name}`" for name in sections))]
    assert sum(part.startswith("`") for part in shown) == len(sections)
    return set(keys(printed)) - set(re.findall(r"`([a-z_]+)`", "".join(shown)))


def test_every_key_of_a_verification_is_documented(pipelines: Any) -> None:
    pipelines.whole("r-1")
    with pipelines.places.opened() as store:
        named = checking.live_models(store, pipelines.places)
        report = checking.verify(store, pipelines.places, named, everything=True)
    assert undocumented("verify", printed={**report.as_json(), "counts": {}}) == set()


def test_every_key_of_gc_is_documented(pipelines: Any, capsys: pytest.CaptureFixture[str]) -> None:
    first = pipelines.whole("r-1", text="1")
    pipelines.data("r-2", text="2")
    printed = []
    for asked in (["--keep-runs", "0"], ["--keep-runs", "0", "--apply"], ["--why", str(first["model"])]):
        assert gc([*options(pipelines), "--json", *asked]) == 0
        printed.append({**json.loads(capsys.readouterr().out), "kept": {}})
    assert printed[0]["would_remove"] and printed[1]["removed"]
    assert undocumented("gc", printed=printed) == set()


def test_every_key_of_forget_is_documented(two_runs: Any) -> None:
    with two_runs.places.opened() as store:
        model = reading.of_type(store, MODEL)[0]
        versions = served.versions(two_runs.places.serving_root, reading.everything(store))
    models = (Trained(model, "FederatedTrainer", "r-1", True, tuple(versions[:1])),)
    assert models[0].served
    report = Forgotten("p", ("user",), Holding((), (), (), ()), (model,), models)
    assert undocumented("forget", printed=forgotten.as_json(report, "5a", "", dry_run=False)) == set()


def test_every_key_about_a_statement_is_documented(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    signing.make(tmp_path / "keys")
    (tmp_path / "p" / "1").mkdir(parents=True)
    (tmp_path / "p" / "1" / "saved_model.pb").write_text("weights")
    key = str(tmp_path / "keys" / signing.PUBLIC_FILE)
    assert statement(["verify", str(tmp_path / "p" / "1"), "--public-key", key, "--json"]) == 10
    assert undocumented("statement", printed=json.loads(capsys.readouterr().out)) == set()


def test_every_section_of_a_card_is_documented(two_runs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert card(["p", "--json", *options(two_runs)]) == 0
    page = PAGE.with_name("model-card.md").read_text(encoding="utf-8")
    assert set(json.loads(capsys.readouterr().out)) - set(re.findall(r"`([a-z_]+)`", page)) == set()
