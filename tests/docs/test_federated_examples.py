"""docs/reference/federated-examples.md names everything that is on disk."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow.parquet as pq

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "federated-examples.md"


def test_every_key_and_column_is_explained(divide_digits) -> None:
    uri, partition = divide_digits("dirichlet", clients=10, alpha=1.0, holdout=0.1, holdout_clients=1)
    named = set(re.findall(r"`(\w+)`", PAGE.read_text(encoding="utf-8")))
    columns = pq.read_schema(Path(uri, "Split-train", "index.parquet")).names
    assert not {*partition, *partition["heterogeneity"], *partition["examples_per_client"], *columns} - named
    assert {path.name for path in Path(uri).iterdir()} == {"Split-train", "Split-eval", "partition.json", "partition.svg"}
