"""What others wrote is what they published, and said so."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

import lineage.console.application

VENDOR = Path(lineage.console.application.__file__).parent / "static" / "vendor"


def test_each_file_has_the_sum_that_the_readme_tells_and_its_licence() -> None:
    told = re.findall(
        r"^\| `([^`]+)` .* `(\w+\.?[\w.-]*LICENSE\.txt)`.*\| `([0-9a-f]{64})` \|$", (VENDOR / "README.md").read_text(), re.M
    )
    assert {name for name, _, _ in told} == {path.name for path in VENDOR.iterdir() if path.suffix == ".mjs"}
    for name, licence, digest in told:
        assert sha256((VENDOR / name).read_bytes()).hexdigest() == digest
        assert "Permission is hereby granted" in (VENDOR / licence).read_text()
