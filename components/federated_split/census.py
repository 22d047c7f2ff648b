"""Counts the clients of a division from its index, in batches.

A whole number per client and per label is kept in memory; the number of examples and of blocks does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.federated_split.measures import Cells

_BATCH_ROWS = 1 << 16


class Chunk(NamedTuple):
    """Some clients, each whole, in the order of the index: their sizes (int64[n]) and the labels of each.

    first: position of the first one among all. cells.client: positions among these, cells.label: codes of labels.
    """

    first: int
    sizes: np.ndarray
    cells: Cells


@dataclass(frozen=True)
class Census:
    """All clients of an index.

    sizes: int64[clients], in the order of the index, then a 0 for each client without examples, which the index does not hold.
    labels: their names, most frequent first. totals: int64[len(labels)], examples of each.
    """

    index_file: Path
    sizes: np.ndarray
    labels: list[str]
    totals: np.ndarray

    def chunks(self) -> Iterator[Chunk]:
        """Reads the index again; the code of a label is its position in `labels`."""
        return _chunks(self.index_file, {label: code for code, label in enumerate(self.labels)} or None)


def take_census(index_file: Path, num_clients: int, *, with_labels: bool = True) -> Census:
    """Reads an index, which is sorted by client id.

    Args:
      index_file: of at least one client.
      num_clients: with those that have no examples.
      with_labels: False leaves the labels out.
    """
    codes: dict[str, int] = {}
    sizes, totals = np.zeros(num_clients, dtype=np.int64), np.zeros(0, dtype=np.int64)
    for chunk in _chunks(index_file, codes if with_labels else None):
        sizes[chunk.first : chunk.first + len(chunk.sizes)] = chunk.sizes
        totals = np.concatenate([totals, np.zeros(len(codes) - len(totals), dtype=np.int64)])
        np.add.at(totals, chunk.cells.label, chunk.cells.count)
    names = list(codes)
    order = sorted(range(len(names)), key=lambda code: (-totals[code], names[code]))
    return Census(index_file, sizes, [names[code] for code in order], totals[np.array(order, dtype=np.int64)])


def count_clients(index_file: Path) -> int:
    """Returns how many clients an index holds: each has one block of number 0."""
    with pq.ParquetFile(index_file) as file:
        return sum(pc.sum(pc.equal(batch.column(0), 0)).as_py() for batch in file.iter_batches(_BATCH_ROWS, columns=["block"]))


def _chunks(index_file: Path, codes: dict[str, int] | None) -> Iterator[Chunk]:
    """Yields all clients; labels that are not in `codes` yet get the next numbers. None leaves the labels out."""
    columns = ["client_id", "num_examples", *([] if codes is None else ["labels"])]
    first, begun = 0, None
    with pq.ParquetFile(index_file) as file:
        for batch in file.iter_batches(_BATCH_ROWS, columns=columns):
            rows = pa.Table.from_batches([batch])
            rows = pa.concat_tables([begun, rows]).combine_chunks() if begun else rows
            client = _client_of_rows(rows["client_id"].chunk(0))
            last = int(np.searchsorted(client, client[-1]))  # Its blocks may go on in the next batch.
            begun = rows.slice(last)
            if last:
                yield _chunk(first, rows.slice(0, last), client[:last], codes)
                first += int(client[last])
    if begun:
        yield _chunk(first, begun, np.zeros(len(begun), dtype=np.int64), codes)


def _client_of_rows(ids: pa.StringArray) -> np.ndarray:
    """Returns int64[n], each row's client, numbered from 0; the rows of a client follow each other."""
    new = pc.not_equal(ids.slice(1), ids.slice(0, len(ids) - 1)).to_numpy(zero_copy_only=False)
    return np.concatenate([[0], np.cumsum(new)]).astype(np.int64)


def _chunk(first: int, rows: pa.Table, client: np.ndarray, codes: dict[str, int] | None) -> Chunk:
    sizes = np.zeros(int(client[-1]) + 1, dtype=np.int64)
    np.add.at(sizes, client, rows["num_examples"].to_numpy())
    cells = Cells(*np.zeros((3, 0), dtype=np.int64)) if codes is None else _cells(rows["labels"].chunk(0), client, codes)
    return Chunk(first, sizes, cells)


def _cells(labels: pa.ListArray, client: np.ndarray, codes: dict[str, int]) -> Cells:
    """Adds up the label counts of each client's blocks."""
    entries = labels.flatten()
    names = entries.field("label").dictionary_encode()
    known = np.array([codes.setdefault(name, len(codes)) for name in names.dictionary.to_pylist()], dtype=np.int64)
    width = max(1, len(codes))
    keys = np.repeat(client, pc.list_value_length(labels).to_numpy()) * width + known[names.indices.to_numpy()]
    distinct, where = np.unique(keys, return_inverse=True)
    counts = np.zeros(len(distinct), dtype=np.int64)
    np.add.at(counts, where, entries.field("count").to_numpy())
    return Cells(*np.divmod(distinct, width), counts)
