"""Every command finds store, logs and served models by the same three options."""

from __future__ import annotations

import argparse
import os

import pytest

from errors import ConfigError
from lineage import places


def given(*arguments):
    parser = argparse.ArgumentParser()
    places.add_options(parser)
    return places.places_of(parser.parse_args(arguments))


def test_places_are_those_of_the_runner_if_nothing_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    where = given()

    assert where.root == str(tmp_path / "pipeline_root") and where.serving_root == str(tmp_path / "serving" / "models")
    assert where.metadata == os.path.join(where.root, "metadata.sqlite")
    assert where.audit_log == os.path.join(where.root, "audit.jsonl")


def test_store_lies_in_the_pipeline_root_unless_it_is_named(tmp_path):
    assert given("--pipeline-root", str(tmp_path)).metadata == str(tmp_path / "metadata.sqlite")
    assert given("--metadata", "grpc://host:1").metadata == "grpc://host:1"


def test_places_open_their_store(store_writer, tmp_path):
    store_writer.execute("p", "r", "A")
    with given("--metadata", str(store_writer.path)).opened() as found:
        assert len(found.get_executions()) == 1
    with pytest.raises(ConfigError, match="got no such file"), given("--pipeline-root", str(tmp_path / "none")).opened():
        pass


def test_help_tells_the_defaults():
    parser = argparse.ArgumentParser()
    places.add_options(parser)

    for told in ("(pipeline_root)", "(serving/models)", "MYSQL_PWD"):
        assert told in parser.format_help()
