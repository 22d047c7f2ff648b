"""Which code of ours decides the weights: in the cache key of the node, and in the identity of a training."""

from __future__ import annotations

from pathlib import Path

from lineage.digests import code_digest


def code_version() -> str:
    """Returns a digest of this package, the block readers, what ties processes to us, and the code around the model module."""
    here = Path(__file__).parent
    readers = [here.parent / "federated_split" / name for name in ("blocks.py", "datasets.py")]
    return code_digest(here, *readers, here.parent / "lifetime.py", here.parents[1] / "modeling")
