"""Which parameters of an execution leave this machine as they are, and which as a digest."""

from __future__ import annotations

import hashlib
import math
import re

from lineage.graph import Execution, Value

_SHOWN = frozenset(
    [
        "approvals",
        "batch_size",
        "code_version",
        "eval_args",
        "eval_config",
        "example_splits",
        "exclude_splits",
        "failed_nodes",
        "fairness_indicator_thresholds",
        "infer_feature_shape",
        "input_base",
        "input_config",
        "input_fingerprint",
        "judges",
        "kind",
        "metrics",
        "min_clients",
        "model_dir",
        "model_node",
        "module",
        "module_digest",
        "open_features",
        "output_config",
        "output_data_format",
        "output_file_format",
        "parameters",
        "push_destination",
        "range_config",
        "run_fn",
        "seed",
        "settings",
        "span",
        "state_dir",
        "strategy",
        "train_args",
        "version",
    ]
)
"""Known not to hold secrets. `custom_config` may hold anything, and so may a parameter of a node that nobody here knows."""

_CREDENTIALS = re.compile(r"(?<=://)[^/@\s\"']+@")


def shown(execution: Execution) -> dict[str, Value]:
    """Returns the parameters by name; `sha256:...` of the value's text for those that are not known to be harmless."""
    return {name: portable(value) if name in _SHOWN else _digest(value) for name, value in sorted(execution.properties.items())}


def portable(value: Value) -> Value:
    """Returns a value without the `user:password@` of the addresses in it; NaN and infinity, which JSON lacks, as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return _CREDENTIALS.sub("", value) if isinstance(value, str) else value


def _digest(value: Value) -> str:
    return f"sha256:{hashlib.sha256(str(value).encode('utf-8', 'surrogatepass')).hexdigest()}"
