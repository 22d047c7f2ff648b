"""Whether every example that was read can be given to a client."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from components.federated_split import features
from components.federated_split.manifests import Manifest
from errors import DataError

# What was expected, what was found, what to do.
_WRONG = {
    features.UNREADABLE: ("readable tf.Examples", "bytes that are none", "write the input again"),
    features.MISSING: ("it in every training example", "none", "fill it, drop these examples or name another feature"),
    features.FLOAT: ("whole numbers or text", "floats", "convert it or name another feature"),
    features.SEVERAL: ("one value per example", "several", "name a scalar feature"),
    features.NOT_UTF8: ("UTF-8 text", "other bytes", "convert it or name another feature"),
    features.NOT_A_NUMBER: ("numbers", "text", "convert it or name another feature"),
    features.TOO_LARGE: (
        "whole numbers from -2^53 to 2^53",
        "others",
        "round or scale it, drop these examples or name another feature",
    ),
    features.NOT_FINITE: ("finite numbers", "NaN or infinity", "correct it, drop these examples or name another feature"),
}

_LABEL_TYPES = {features.INTEGER: "whole numbers", features.TEXT: "text", features.FLOAT: "floats (not counted)"}


def checked_examples(manifests: Sequence[Manifest], split: str, stratum: str | None, parameter: str) -> int:
    """Returns the number of examples read.

    Args:
      manifests: of all partitions.
      split: name of the split, for messages.
      stratum: the feature that makes the strata, if any.
      parameter: name of the split parameter that names this feature.

    Raises:
      DataError: an input file is damaged; there are no examples; the feature is missing or of a wrong type somewhere.
    """
    faults = [fault for manifest in manifests for fault in manifest.faults]
    if faults:
        raise DataError(faults[0])
    examples = sum(manifest.examples for manifest in manifests)
    if not examples:
        raise DataError(f"expected examples in split {split!r}, found none; check the input and the split ratios.")
    kinds: Counter[str] = Counter()
    for manifest in manifests:
        kinds.update(manifest.kinds)
    _check_kinds(kinds, examples, f"feature {stratum!r} (split parameter {parameter!r})")
    return examples


def _check_kinds(kinds: Counter[str], examples: int, where: str) -> None:
    for kind, (expected, found, remedy) in _WRONG.items():
        if kinds[kind]:
            raise DataError(f"{where}: expected {expected}, got {found} in {kinds[kind]} of {examples} examples; {remedy}.")
    integers = kinds[features.INTEGER]
    for name, others in (("text", kinds[features.TEXT]), ("floats", kinds[features.REAL])):
        if integers and others:
            raise DataError(
                f"{where}: expected one type, got whole numbers in {integers} and {name} in {others} of {examples} examples; "
                "write it in one type."
            )


def warn_of_labels(manifests: Sequence[Manifest], examples: int, label: str | None) -> None:
    """Logs what is wrong with a label that is only counted; where the strategy needs it, `checked_examples` has refused that.

    Args:
      manifests: of all partitions.
      examples: how many were read, above 0.
      label: name of the feature, if any.
    """
    kinds: Counter[str] = Counter()
    for manifest in manifests:
        kinds.update(manifest.label_kinds)
    if label is None:
        return
    if kinds[features.UNREADABLE]:
        logging.warning("FederatedSplit: %d of %d examples are no readable tf.Examples", kinds[features.UNREADABLE], examples)
    if kinds[features.MISSING] == examples:
        logging.warning("FederatedSplit: none of %d examples has the label %r; no labels are counted", examples, label)
    found = {name: kinds[kind] for kind, name in _LABEL_TYPES.items() if kinds[kind]}
    if len(found) > 1:
        logging.warning("FederatedSplit: the label %r has several types in %d examples: %s", label, examples, found)
