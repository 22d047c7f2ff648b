"""Which code of ours decides what is measured: in the cache key of the node."""

from __future__ import annotations

from pathlib import Path

from lineage.digests import code_digest


def code_version() -> str:
    """Returns a digest of this package with its list of operations, the model server, and what reads modules and records."""
    here, root = Path(__file__).parent, Path(__file__).parents[2]
    parts = ("evidence.py", "federated_split/records.py", "lifetime.py")
    ours = [root / "components" / name for name in parts]
    serving = [root / "serving" / name for name in ("__main__.py", "layout.py", "server")]  # not the models that lie there
    return code_digest(here, here / "allowed_ops.txt", *ours, root / "modeling" / "contract.py", *serving)
