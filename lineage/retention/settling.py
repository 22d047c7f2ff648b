"""What a gc that was killed left: hidden directories. A run completes it too: to TFX's cache they would be there still."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from errors import FedtfxError
from lineage import audit_log, store
from lineage.retention import directories

EVENT = "gc"
LOG = "audit.jsonl"


def settle(root: str | os.PathLike[str], metadata: str) -> None:
    """Completes, or takes back, what a killed gc left. The caller holds the root.

    Args:
      root: the pipeline root.
      metadata: see `store.connection`.

    Raises:
      IntegrityError: the log was altered.
      FedtfxError: ML Metadata does not answer.
    """
    left = directories.hidden(str(root))
    if not left:
        return
    told = {str(entry.facts.get("batch")): entry for entry in audit_log.read(Path(root, LOG)) if entry.event == EVENT}
    for path, batch in left:
        if batch not in told:
            directories.bring_back(path)
    decided = {batch for _, batch in left if batch in told}
    for batch in sorted(decided):
        mark_deleted(metadata, [int(one) for one in told[batch].facts["artifacts"]])
    for path, batch in left:
        if batch in decided:
            directories.remove(path)


def mark_deleted(metadata: str, ids: Sequence[int]) -> None:
    """Sets the state of artifacts to DELETED, and nothing else.

    Raises:
      ConfigError, FedtfxError: as `store.opened`, or the store cannot be written.
    """
    if not ids:
        return
    config = store.connection(metadata)
    from ml_metadata import errors
    from ml_metadata.metadata_store import metadata_store
    from ml_metadata.proto import metadata_store_pb2

    if isinstance(config, metadata_store_pb2.ConnectionConfig) and config.HasField("sqlite"):
        config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE
    try:
        opened = metadata_store.MetadataStore(config)
        artifacts = opened.get_artifacts_by_id(list(ids))
        for artifact in artifacts:
            artifact.state = metadata_store_pb2.Artifact.DELETED
        opened.put_artifacts(artifacts)
    except (errors.StatusError, RuntimeError) as error:
        why = " ".join(str(error).split())[:300]
        raise FedtfxError(
            f"{metadata}: expected an ML Metadata store that can be written, got {why}; run gc again then."
        ) from error
