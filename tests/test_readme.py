"""The README and its picture say what the code does."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import config as configuration
from pipeline.strict_yaml import section_in

ROOT = Path(__file__).parents[1]


def _keys(section: type, prefix: str = "") -> Iterator[str]:
    hints = typing.get_type_hints(section)
    for field in dataclasses.fields(section):
        inner = section_in(hints[field.name])
        if inner:
            yield from _keys(inner, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


def test_config_table_lists_every_key_and_no_other() -> None:
    table = (ROOT / "README.md").read_text(encoding="utf-8").split("## The config")[1].split("\n## ")[0]
    listed: list[str] = []
    for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE):
        for key in re.findall(r"`([a-z_.0-9]+)`", re.sub(r"\(.*?\)", "", row)):  # defaults stand in brackets
            section = listed[-1].rpartition(".")[0] if key.startswith(".") else ""
            listed.append(section + key)
    assert sorted(listed) == sorted(_keys(configuration.PipelineConfig))


def test_picture_of_the_dag_shows_its_nodes(tmp_path: Path) -> None:
    from pipeline.dag import create_pipeline
    from pipeline.environment import Environment

    config = configuration.load(ROOT / "examples" / "digits" / "config.yaml")
    dag = create_pipeline(config, Environment.local(str(tmp_path / "root"), str(tmp_path / "serving")))
    drawn = re.findall(r'<text class="id"[^>]*>(\w+)</text>', (ROOT / "docs" / "dag.svg").read_text(encoding="utf-8"))
    assert sorted(drawn) == sorted(node.id for node in dag.components)


PAGES = [*ROOT.glob("*.md"), *ROOT.glob("examples/*/*.md"), *ROOT.glob("docs/**/*.md")]


@pytest.mark.parametrize("page", sorted(str(path.relative_to(ROOT)) for path in PAGES))
def test_links_of_every_page_lead_to_files(page: str) -> None:
    path = ROOT / page
    links = re.findall(r"\]\(([^)#]+?)\)", path.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert not missing
