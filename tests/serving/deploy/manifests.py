"""Reads the deployment files as the tools they are written for would."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "serving" / "deploy"
COMPOSE = DEPLOY / "compose" / "docker-compose.yaml"
OVERLAYS = {"base": "base", "local": "overlays/local", "eks": "overlays/eks"}
_VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?:(:?[-?])([^}]*))?\}|(\w+))")

Document = dict[str, Any]


class _Strict(yaml.CSafeLoader):
    """Refuses a key that is there twice, of which YAML keeps the last."""


def _mapping(loader: _Strict, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
    if len(keys) != len(set(keys)):
        raise yaml.YAMLError(f"a key is there twice in {keys} at {node.start_mark}")
    loader.flatten_mapping(node)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_Strict.add_constructor("tag:yaml.org,2002:map", _mapping)


def documents(text: str) -> list[Document]:
    return [document for document in yaml.load_all(text, _Strict) if document]


@cache
def _built(folder: str) -> list[Document]:
    if not (kubectl := shutil.which("kubectl")):
        pytest.skip("no kubectl; install Debian's kubernetes-client")
    command = [kubectl, "kustomize", str(DEPLOY / "kubernetes" / folder)]
    return documents(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def kustomized(overlay: str) -> list[Document]:
    """Returns what `kubectl apply -k` would send, fresh each time."""
    return copy.deepcopy(_built(OVERLAYS[overlay]))


def one(found: list[Document], kind: str, name: str) -> Document:
    """Returns the document of that kind and name, or name with a hash behind it."""
    pattern = re.compile(rf"{re.escape(name)}(-[a-z0-9]{{10}})?")
    (right,) = (each for each in found if each["kind"] == kind and pattern.fullmatch(each["metadata"]["name"]))
    return right


def interpolated(value: Any, variables: Mapping[str, str]) -> Any:
    """Replaces `$NAME`, `${NAME:-default}` and `${NAME:?message}` in every text, as docker compose does.

    Raises:
      KeyError: a variable without default that is not given.
    """
    if isinstance(value, dict):
        return {key: interpolated(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolated(item, variables) for item in value]
    return _VARIABLE.sub(lambda match: _value_of(match, variables), value) if isinstance(value, str) else value


def _value_of(match: re.Match[str], variables: Mapping[str, str]) -> str:
    name, how, rest = match[1] or match[4], match[2] or "", match[3]
    if name is None:
        return "$"
    if variables.get(name):
        return variables[name]
    if how.endswith("-"):
        return rest
    raise KeyError(f"{name}: {rest}" if how else name)


def compose(**variables: str) -> Document:
    """Returns docker-compose.yaml with its variables replaced."""
    (document,) = documents(COMPOSE.read_text(encoding="utf-8"))
    return interpolated(document, variables)
