"""The source data held against the fingerprint that ExampleGen took of it; and whether the code here is that of then."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from components.example_gens import content
from lineage.digests import code_digest, own_code_digest
from lineage.graph import EXAMPLES, Artifact, Execution
from lineage.verify.report import ALTERED, SOURCE, UNPROVEN, VERIFIED, Finding
from lineage.verify.scope import Scope

_REMEDY = "put back the data as they were, or train again on what is there now"
_OWN = "components.example_gens."


def sources(scope: Scope) -> Iterator[Finding]:
    """Yields a finding per Examples artifact on the way."""
    done: set[tuple[str, str]] = set()
    for examples in scope.of_type(EXAMPLES):
        maker = scope.graph.producer(examples.id)
        expected = str(examples.properties.get("input_fingerprint", ""))
        base = str(maker.properties.get("input_base", "")) if maker else ""
        if maker is not None and (base, expected) not in done:
            done.add((base, expected))
            yield _checked(examples, maker, base, expected)


def _checked(examples: Artifact, maker: Execution, base: str, expected: str) -> Finding:
    subject = f"source of Examples {examples.id}"
    got, problem = _fingerprint(maker, base)
    if got and got == expected:
        return Finding(SOURCE, subject, VERIFIED, f"fingerprint {expected[:12]}", got[:12], path=base)
    if got and expected:
        return Finding(SOURCE, subject, ALTERED, f"fingerprint {expected[:12]}", f"fingerprint {got[:12]}", _REMEDY, base)
    return Finding(SOURCE, subject, UNPROVEN, f"fingerprint {expected[:12]}", problem, _REMEDY, base)


def _fingerprint(maker: Execution, base: str) -> tuple[str, str]:
    """The fingerprint as it is now, or why there is none."""
    if not maker.type.startswith(_OWN):
        return "", f"{maker.type.rpartition('.')[2]} takes no fingerprint of content"
    if maker.type.endswith("DigitsExampleGen"):
        return _digits()
    if "://" in base:
        return "", "data that are not on this machine"
    try:
        patterns = [split["pattern"] for split in json.loads(str(maker.properties["input_config"]))["splits"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "", "no patterns on record"
    if any("{" in pattern or "**" in pattern for pattern in patterns):
        return "", "patterns with spans, which only ExampleGen resolves"
    paths = {path for pattern in patterns for path in content.local_files(base, pattern)}
    if maker.type.endswith("IdxExampleGen"):
        paths |= {label for path in paths for label in content.labels_beside(path) if os.path.exists(label)}
    return (content.fingerprint(base, paths), "") if paths else ("", "nothing there any more")


def _digits() -> tuple[str, str]:
    """scikit-learn's bundled digits, read without loading scikit-learn; see `example_gens.driver`."""
    import gzip

    import numpy as np

    found = importlib.util.find_spec("sklearn")
    if found is None or not found.submodule_search_locations:
        return "", "no scikit-learn here, which brings the digits"
    path = os.path.join(found.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    try:
        with gzip.open(path, "rt", encoding="ascii") as file:
            data = np.loadtxt(file, delimiter=",")
    except (OSError, ValueError):
        return "", "no digits in the scikit-learn here"
    images, target = data[:, :-1].reshape(-1, 8, 8), data[:, -1].astype(int)
    return hashlib.sha256(images.tobytes() + target.tobytes()).hexdigest(), ""


def notes(scope: Scope) -> list[str]:
    """Returns in what the code here differs from that which made the models: no alteration, for code may go on."""
    found = []
    for number in sorted(scope.models):
        maker = scope.graph.producer(number)
        if maker is not None:
            found += _module(maker.properties)
    versions = {scope.graph.runs[name].facts.get("code_version") for name in scope.runs if name in scope.graph.runs}
    if versions - {None} and own_code_digest() not in versions:
        found.append(f"the code here is another version ({own_code_digest()}) than ran ({', '.join(map(str, versions))})")
    return list(dict.fromkeys(found))


def _module(properties: Mapping[str, Any]) -> list[str]:
    name, expected = str(properties.get("module", "")), properties.get("module_digest")
    if not name or not expected:
        return []
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.origin:
        return [f"the model module {name} is not here"]
    got = code_digest(spec.origin)
    return [] if got == expected else [f"the model module {name} is another version here ({got}) than trained ({expected})"]
