"""What a config may say of the model in words, and that it changes nothing but the card."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from errors import ConfigError
from pipeline.config import as_dict, digest, from_dict, resolved
from pipeline.strict_yaml import parse
from tests.pipeline.test_config import SMALLEST

WORDS = {"title": "Digits", "intended_use": "To show", "limitations": ["small", "old"], "contact": "a@example.org"}


def test_words_are_one_text_or_a_list_of_it() -> None:
    config = from_dict({**SMALLEST, "model_card": WORDS})
    assert config.model_card is not None
    assert config.model_card.words() == {**WORDS, "intended_use": ["To show"]}
    assert from_dict(parse(resolved(config), "resolved")) == config


def test_config_without_words_is_as_it_was() -> None:
    config = from_dict(SMALLEST)
    assert config.model_card is None
    assert "model_card" not in as_dict(config)
    assert digest(config) != digest(from_dict({**SMALLEST, "model_card": WORDS}))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"licence": "MIT"}, "unknown key 'model_card.licence'; did you mean 'license'?"),
        ({"title": 3}, "model_card.title: expected text that is not empty"),
        ({"title": ["a"]}, "model_card.title: expected text that is not empty"),
        ({"owners": {}}, "model_card.owners: expected text, or a list of texts that are not empty (in quotes"),
        ({"owners": ["ann", " "]}, "model_card.owners: expected text, or a list of texts that are not empty, got ' '"),
        ({"owners": ["ann", "ann"]}, "model_card.owners: expected each item once"),
    ],
)
def test_anything_else_is_refused_with_its_key(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        from_dict({**SMALLEST, "model_card": given})


def test_only_run_report_is_told(tmp_path: Path) -> None:
    from tfx.dsl.compiler.compiler import Compiler

    from pipeline.dag import create_pipeline
    from pipeline.environment import Environment

    def compiled(**more: Any) -> dict[str, bytes]:
        dag = create_pipeline(
            from_dict({**SMALLEST, **more}), Environment.local(str(tmp_path / "root"), str(tmp_path / "served"))
        )
        nodes = [node.pipeline_node for node in Compiler().compile(dag).nodes]
        return {node.node_info.id: node.parameters.SerializeToString(deterministic=True) for node in nodes}

    plain, told = compiled(), compiled(model_card=WORDS)
    # Pusher records the digest of the whole config, and is never answered from the cache.
    assert {node for node in plain if plain[node] != told[node]} - {"Pusher"} == {"RunReport"}
