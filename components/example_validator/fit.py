"""Compares FEATURES of a model module with statistics of the data: what training would stumble over, found before it begins.

tf.io.parse_example takes a feature as it was written or not at all: float32 from a float_list, int64 from an int64_list, string
from a bytes_list, with as many values as the shape has. No value of an example is in a message, except the range of the label.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from components.example_validator import observed
from modeling.contract import ModelModule

_WANTED = {"float32": "float", "int64": "int", "string": "text"}
_DECLARED = {"float": "tf.float32", "int": "tf.int64", "text": "tf.string", "struct": "tf.string"}
_SEPARATORS = ";\t|"
_NAMES_SHOWN = 8
_ONE = "FEATURES says one in every example"
_FILL = "fill it in, or drop those examples"
_DEFAULT = "fill it in, drop those examples, or give a default_value in FEATURES"


@dataclass(frozen=True)
class Misfit:
    """What is wrong with a feature (None: with all of them) in `split`, and in other splits as well."""

    split: str
    feature: str | None
    found: str
    remedy: str
    also: tuple[str, ...] = ()

    def __str__(self) -> str:
        place = self.split if self.feature is None else f"{self.split}/{self.feature}"
        also = f" ({', '.join(self.also)} as well)" if self.also else ""
        return f"{place}{also}: {self.found}: {self.remedy}"


def misfits(module: ModelModule, statistics: Mapping[str, Any]) -> list[Misfit]:
    """Returns what in the data does not fit FEATURES, one for each feature and remedy; empty splits are none of it.

    Args:
      module: the model module.
      statistics: split -> DatasetFeatureStatisticsList.
    """
    merged: dict[tuple[str | None, str], Misfit] = {}
    for split in sorted(statistics, key=lambda name: (name != "train", name)):
        for feature, found, remedy in _of_split(module, statistics[split]):
            first = merged.setdefault((feature, remedy), Misfit(split, feature, found, remedy))
            if first.split != split:
                merged[feature, remedy] = Misfit(first.split, feature, first.found, remedy, (*first.also, split))
    return list(merged.values())


def _of_split(module: ModelModule, statistics: Any) -> Iterator[tuple[str | None, str, str]]:
    """Yields (feature, what was found, remedy)."""
    if not observed.examples(statistics):
        return
    seen = observed.features(statistics)
    separators = [separator for separator in _SEPARATORS for name in seen if len(seen) == 1 and separator in name]
    if separators and not seen.keys() & module.features.keys():
        yield None, f"the data have one column, whose name holds {separators[0]!r}", "save the file with commas between columns"
        return
    for key, spec in module.features.items():
        checks = (
            _absent(key, spec, seen) if key not in seen else _present(module, key, seen[key], observed.examples(statistics))
        )
        yield from ((key, found, remedy) for found, remedy in checks)


def _absent(key: str, spec: Any, seen: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if spec.default_value is not None:
        return
    found = "FEATURES has it, no example does; the data have "
    spaced = [name for name in seen if name.strip() == key]
    if spaced:
        yield f"{found}{spaced[0]!r} with spaces around the name", "remove them from the header"
        return
    names = ", ".join([*seen][:_NAMES_SHOWN]) + (", ..." if len(seen) > _NAMES_SHOWN else "")
    yield f"{found}{names or 'no feature'}", "rename a column, or name it so in FEATURES"


def _present(module: ModelModule, key: str, feature: Any, examples: int) -> Iterator[tuple[str, str]]:
    spec, label = module.features[key], key == module.label_key
    having = int(observed.counts(feature).num_non_missing)
    if having < examples and spec.default_value is None:
        yield f"{_ONE}, it is missing in {examples - having} of {examples} examples", _FILL if label else _DEFAULT
    if not having:
        return
    if observed.kind(feature) != _WANTED[spec.dtype.name]:
        yield _type(spec, feature, examples, label=label)
        return
    yield from _shape(spec, feature)
    yield from _finite(feature)
    if label and module.class_labels and observed.kind(feature) == "int":
        yield from _label_range(feature, len(module.class_labels))


def _type(spec: Any, feature: Any, examples: int, *, label: bool) -> tuple[str, str]:
    got = observed.kind(feature)
    having = int(observed.counts(feature).num_non_missing)
    found = f"FEATURES says {spec.dtype.name}, the data hold {got} in {having} of {examples} examples"
    total = int(observed.counts(feature).tot_num_values)
    odd = _no_numbers(feature) if got == "text" else 0
    if odd:
        found += f" ({observed.at_least(feature)}{odd} of {total} values are no numbers)"
    return found, _type_remedy(_WANTED[spec.dtype.name], got, label=label, numbers=0 < odd < total)


def _type_remedy(wanted: str, got: str, *, label: bool, numbers: bool) -> str:
    if got == "text" and numbers:
        return "write numbers, or drop the examples that have none"
    if got == "text":
        return (
            "write each class as its number, 0 for the first of CLASS_LABELS"
            if label
            else "write numbers, or declare tf.string in FEATURES and encode it in preprocess"
        )
    write = {"int": "write whole numbers (1, not 1.0)", "float": "write 1.0 for 1"}.get(wanted)
    declare = f"declare {_DECLARED[got]} in FEATURES"
    if label and wanted == "int":  # a loss over classes takes no floats
        return str(write)
    return f"{declare}{'' if label else ' and cast in preprocess'}, or {write}" if write else declare


def _no_numbers(feature: Any) -> int:
    return sum(times for text, times in observed.texts(feature).items() if not _is_number(text))


def _is_number(text: str) -> bool:
    """As TFX decides whether a CSV column holds numbers."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _shape(spec: Any, feature: Any) -> Iterator[tuple[str, str]]:
    wanted = math.prod(spec.shape)
    least, most = int(observed.counts(feature).min_num_values), int(observed.counts(feature).max_num_values)
    if wanted == 1 and least == 0 and most <= 1:
        # As an empty cell of a CSV file becomes it; a default_value is for a feature that is left out altogether.
        having = int(observed.counts(feature).num_non_missing)
        yield f"{_ONE}, it is empty in {having - int(observed.counts(feature).tot_num_values)} of {having} examples", _FILL
    elif (least, most) != (wanted, wanted):
        got = f"{least}" if least == most else f"{least} to {most}"
        values = "value" if wanted == 1 else "values"
        yield (
            f"FEATURES says shape {list(spec.shape)}, which is {wanted} {values} in an example; the data hold {got}",
            "change the data, or the shape in FEATURES",
        )


def _finite(feature: Any) -> Iterator[tuple[str, str]]:
    if observed.kind(feature) != "float":
        return
    total = f"{observed.counts(feature).tot_num_values} {observed.noun(feature)}"
    for what, count in (("NaN", observed.not_a_number(feature)), ("infinite", observed.infinite(feature))):
        if count:
            yield f"is {what} in {count} of {total}", _FILL


def _label_range(feature: Any, classes: int) -> Iterator[tuple[str, str]]:
    least, most = int(feature.num_stats.min), int(feature.num_stats.max)
    if least < 0 or most >= classes:
        yield (
            f"the label reaches from {least} to {most}; CLASS_LABELS has {classes} names, expected 0 to {classes - 1}",
            "number the classes from 0, or name every one in CLASS_LABELS",
        )
