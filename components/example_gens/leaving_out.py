"""Leaving out the examples of clients who are to be forgotten, before any node sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import apache_beam as beam

from components.federated_split.features import scalar_text
from lineage.forgotten import Omission


class LeaveOut(beam.DoFn):
    """Passes on the serialized tf.Examples of all but the forgotten clients.

    An example that does not say whose it is passes; FederatedSplit complains of it. What goes to a worker names the list and
    not the key, which the worker reads itself.
    """

    def __init__(self, omission: Omission):
        self._omission = omission
        self._forgotten: Callable[[str], bool] | None = None

    def setup(self) -> None:
        """Reads list and key.

        Raises:
          IntegrityError: they are not what the run began with.
        """
        self._forgotten = self._omission.check()

    def process(self, record: bytes) -> Iterator[bytes]:
        """Yields the record, or nothing."""
        assert self._forgotten is not None
        clients = (scalar_text(record, feature) for feature in self._omission.features)
        if not any(client is not None and self._forgotten(client) for client in clients):
            yield record
