"""The rules of the house that a program can check, on every file that is or would be committed."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

RUNNERS = ("local_runner", "kubeflow_runner")
PACKAGES = ("pipeline", "components", "modeling", "lineage", "serving")
# What each part of the product may import of the others. Examples are data: named by a config, imported by no one.
MAY_IMPORT: dict[str, set[str]] = {
    **{runner: set(PACKAGES) for runner in RUNNERS},
    "pipeline": {"components", "modeling"},
    "components": {"modeling"},
    "modeling": set(),
    "lineage": {"components", "serving"},
    "serving": {"components"},
    "errors": set(),
}
# Anybody may import these, and they import nothing of ours but each other.
LEAVES = {
    "errors",
    *(
        f"lineage.{name}"
        for name in (
            "audit_log",
            "command_line",
            "digests",
            "durable",
            "fingerprints",
            "forgotten",
            "graph",
            "jsonable",
            "locking",
            "reading",
            "retention.directories",
            "retention.settling",
            "signing",
            "soundness",
            "statement",
            "store",
        )
    ),
    *(f"serving.{name}" for name in ("addresses", "layout", "models_config", "protocol", "records", "servers", "statements")),
}
BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}
MAX_LINES = 400
# Put together here, so that this file does not hold what it looks for.
REGISTRY_HOSTS = [
    f"{name}.{domain}"
    for name, domain in [
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("anaconda", "org"),
        ("npmjs", "org"),
        ("pypi", "python.org"),
    ]
]
MACHINE_PATHS = ["/" + folder + "/" for folder in ("root", "work")]


@cache
def tracked_files() -> list[Path]:
    """Every file that is committed, or new and not ignored, relative to the root."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return sorted({Path(name) for name in names if name and (ROOT / name).is_file()})


def python_files() -> list[Path]:
    return [path for path in tracked_files() if path.suffix == ".py"]


def module_of(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def product_modules() -> dict[str, Path]:
    return {module_of(path): path for path in python_files() if module_of(path).split(".")[0] in MAY_IMPORT}


def imports(path: Path) -> Iterator[str]:
    """Yields the dotted name of everything a file imports, at any depth; `from a import b` gives `a.b`."""
    package = module_of(path) if path.name == "__init__.py" else module_of(path).rpartition(".")[0]
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def is_within(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def allowed(importer: str, name: str) -> bool:
    own, other = importer.split(".")[0], name.split(".")[0]
    if any(is_within(name, leaf) for leaf in LEAVES):
        return True
    if importer in LEAVES:
        return False
    if own in ("lineage", "serving") and other == "components":
        return "executor" not in name.split(".")
    return other == own or other in MAY_IMPORT[own]


def test_imports_run_one_way() -> None:
    ours = {*MAY_IMPORT, "examples", "benchmarks", "tests"}
    wrong = [
        f"{path} imports {name}"
        for module, path in product_modules().items()
        for name in imports(path)
        if name.split(".")[0] in ours and not allowed(module, name)
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("importer", "name"),
    [
        ("modeling.batches", "components.artifacts"),
        ("components.federated_split.executor", "pipeline.config"),
        ("pipeline.dag", "local_runner.main"),
        ("lineage.graph", "components.federated_split.executor"),
        ("serving.client", "pipeline.config"),
        ("serving.layout", "serving.client"),
        ("errors", "pipeline"),
        ("pipeline.config", "examples.digits.digits_model"),
    ],
)
def test_an_import_against_the_direction_is_seen(importer: str, name: str) -> None:
    assert not allowed(importer, name)


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert not [str(path) for path in tracked_files() if path.stem.lower() in BANNED_NAMES]


def test_no_source_file_is_too_long() -> None:
    long = {str(path): len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in python_files()}
    assert not {path: lines for path, lines in long.items() if lines > MAX_LINES}


def test_no_file_names_a_package_registry_or_a_path_of_one_machine() -> None:
    wrong = []
    for path in tracked_files():
        text = (ROOT / path).read_bytes().decode("utf-8", errors="ignore")
        wrong += [f"{path}: {word}" for word in [*REGISTRY_HOSTS, *MACHINE_PATHS] if word in text]
    assert not wrong


def exported(path: Path) -> list[str]:
    """Returns the names of `__all__` in a file, or none if it has no `__all__`."""
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets
        ):
            return list(ast.literal_eval(node.value))
    return []


@pytest.mark.slow
def test_every_exported_name_can_be_imported() -> None:
    packages = {module: exported(path) for module, path in product_modules().items() if path.name == "__init__.py"}
    lines = [f"from {package} import {name}" for package, names in packages.items() for name in names]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
