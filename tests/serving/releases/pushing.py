"""Pushes models that are one file each."""

from __future__ import annotations

import shutil
from pathlib import Path

from serving import layout, models_config
from serving.models_config import State


def push(root: Path, content: str, name: str = "digits") -> int:
    source = root.parent / "source"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    (source / "saved_model.pb").write_text(content)
    return layout.publish(source, root / name, now=lambda: 1).version


def state(root: Path) -> State:
    return models_config.state(root, "digits")
