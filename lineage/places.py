"""Where what is asked about lies: the options that every command has."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lineage import store


@dataclass(frozen=True)
class Places:
    """Folders and store.

    Attributes:
      root: folder of artifacts, metadata and logs; absolute.
      serving_root: TF-Serving base folder; absolute.
      metadata: as `store.opened` takes it.
    """

    root: str
    serving_root: str
    metadata: str

    @property
    def audit_log(self) -> str:
        """The log of runs and decisions."""
        return os.path.join(self.root, "audit.jsonl")

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """Gives the ML Metadata store, to read from; see `store.opened`."""
        with store.opened(self.metadata) as opened:
            yield opened


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds --pipeline-root, --serving-root and --metadata."""
    group = parser.add_argument_group("places")
    group.add_argument("--pipeline-root", default="pipeline_root", metavar="D", help="artifacts, metadata, logs (%(default)s)")
    group.add_argument("--serving-root", default="serving/models", metavar="D", help="TF-Serving base folder (%(default)s)")
    group.add_argument(
        "--metadata",
        metavar="WHERE",
        help="ML Metadata: a sqlite file, mysql://USER@HOST[:PORT]/DATABASE with the password in MYSQL_PWD, or grpc://HOST:PORT"
        " (metadata.sqlite in the pipeline root)",
    )


def places_of(given: argparse.Namespace) -> Places:
    """Returns what the options say."""
    root = os.path.abspath(given.pipeline_root)
    return Places(root, os.path.abspath(given.serving_root), given.metadata or os.path.join(root, "metadata.sqlite"))
