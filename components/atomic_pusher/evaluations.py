"""Whether an evaluation can still be read: a model goes live only on a verdict that can be shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from errors import IntegrityError


def check(node_id: str, uri: str) -> None:
    """Makes sure that a ModelEvaluation holds overall metrics and a validation result.

    Args:
      node_id: the node that put it out, for the error.
      uri: its directory.

    Raises:
      IntegrityError: it does not, or its files are damaged.
    """
    import tensorflow_model_analysis as tfma

    try:
        reason = "" if _has_overall(tfma.load_metrics(uri)) else "no overall metrics"
        if not reason:
            tfma.load_validation_result(uri)
    except AssertionError:  # TFMA's word for no file, or for one without a record
        reason = "no validation result"
    except Exception as error:  # whatever TensorFlow's reader or protobuf's parser makes of damaged bytes
        reason = type(error).__name__
    if reason:
        raise IntegrityError(
            f"the evaluation at {uri} cannot be read ({reason}): expected metrics and a validation result; "
            f"run again with --from {node_id}."
        )


def _has_overall(metrics: Iterable[Any]) -> bool:
    return any(not of_slice.slice_key.single_slice_keys for of_slice in metrics)
