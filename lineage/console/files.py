"""The few files out of artifacts that a browser may have: the model card, and pictures without client ids."""

from __future__ import annotations

import errno
import os
import stat

from starlette.exceptions import HTTPException

from lineage.graph import FEDERATED_EXAMPLES, RUN_REPORT, Artifact
from lineage.questions.facts import local

CARD = "model_card.html"
_MOST_BYTES = 32_000_000
# Artifact type -> file -> its media type. Nothing else in an artifact is ever read for a browser.
_KNOWN = {
    FEDERATED_EXAMPLES: {"partition.svg": "image/svg+xml"},
    "components.ClientMetrics": {"clients.svg": "image/svg+xml"},
    RUN_REPORT: {CARD: "text/html"},
}


def of(artifact: Artifact) -> list[str]:
    """Returns the names of those that are there."""
    folder = local(artifact.uri)
    return [name for name in _KNOWN.get(artifact.type, {}) if folder and os.path.isfile(os.path.join(folder, name))]


def read(artifact: Artifact, name: str) -> tuple[bytes, str]:
    """Returns bytes and media type of a file.

    Raises:
      HTTPException: 404, it is none of these, is not there, is a link, or is larger than a page or picture is.
    """
    kind, folder = _KNOWN.get(artifact.type, {}).get(name), local(artifact.uri)
    if kind is None or folder is None:
        raise HTTPException(404, "expected a model card or a picture of an artifact")
    try:
        descriptor = os.open(os.path.join(folder, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        why = "is a link" if error.errno == errno.ELOOP else error.strerror
        raise HTTPException(404, f"{name} of artifact {artifact.id}: {why}") from None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:
            raise HTTPException(404, f"{name} of artifact {artifact.id} is no file of at most {_MOST_BYTES} bytes")
        return file.read(), kind
