"""Whether outputs that a node took from the cache are still what was published; TFX only looks whether their folders exist."""

from __future__ import annotations

import os
from typing import Any

from errors import IntegrityError
from lineage.digests import tree_digest


def alteration(connection: Any, node_id: str, execution_id: int) -> IntegrityError | None:
    """Returns what is wrong with the outputs of a node's execution; None if they are what was published.

    What carries a `digest` is compared with it; of what carries none, no more is known than that it held a file.
    """
    from tfx.orchestration import metadata
    from tfx.orchestration.portable.mlmd import execution_lib

    with metadata.Metadata(connection) as handle:
        outputs = execution_lib.get_output_artifacts(handle, execution_id)
    for output, artifacts in outputs.items():
        for artifact in artifacts:
            if why := _altered(artifact):
                return IntegrityError(
                    f"{node_id}'s {output} at {artifact.uri} is not what was published ({why}); run again with --from {node_id}"
                )
    return None


def _altered(artifact: Any) -> str:
    """In what an artifact's directory differs from what was published, as far as that can be told; else nothing.

    An older release recorded a digest of some only. A blessing without a decision (of an Evaluator that has no threshold) is
    published empty.
    """
    from components import digested

    if expected := digested.recorded(artifact):
        found = _digest(artifact.uri)
        return "" if found == expected else f"digest {expected}, found {found}"
    undecided = artifact.type_name == "ModelBlessing" and not artifact.has_custom_property("blessed")
    return "" if undecided or any(files for _, _, files in os.walk(artifact.uri)) else "no file is left there"


def _digest(folder: str) -> str:
    try:
        return tree_digest(folder)
    except (OSError, ValueError) as error:
        return " ".join(str(error).split())
