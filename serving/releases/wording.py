"""States, answers and the log in words and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errors import IntegrityError
from lineage.audit_log import Entry
from serving import records
from serving.models_config import Held, State
from serving.records import Serving
from serving.servers import Answer


def changed(model_name: str, before: Serving, after: Serving) -> str:
    """Returns what a release changes, such as `digits: live 3 -> 2 (pinned); label stable 3 -> 2; canary dropped (was 3)`."""
    old, new = _labels(before.state), _labels(after.state)
    parts = [f"live {_moved(before.live, after.live)}{_how(after)}"]
    parts += [f"label {name} {_moved(old[name], new[name])}" for name in sorted(new) if name in old and old[name] != new[name]]
    parts += [f"label {name} -> {new[name]}" for name in sorted(new) if name not in old]
    parts += [f"{name} dropped (was {old[name]})" for name in sorted(old) if name not in new]
    return f"{model_name}: {'; '.join(parts)}"


@dataclass(frozen=True)
class OnDisk:
    """What the log makes of the complete versions.

    Attributes:
      words: version -> `complete`, or what is to be said instead or besides.
      altered: those that were.
      problems: in lines, with digests.
    """

    words: Mapping[int, str]
    altered: Sequence[int]
    problems: Sequence[str]


def on_disk(root: Path, model_name: str, now: Serving) -> OnDisk:
    """Returns what became of the complete versions' bytes; reads all of them."""
    try:
        told = records.entries(root, model_name)
    except IntegrityError as error:
        return OnDisk(dict.fromkeys(now.complete, "complete, log altered"), (), (str(error),))
    lost = [version for version in now.state.versions if version not in now.complete] if isinstance(now.state, Held) else []
    bad = {each.version: each for each in records.altered(root, model_name, now.complete, told)}
    words = dict.fromkeys(now.complete, "complete")
    words |= dict.fromkeys(records.by_hand(now.complete, told), "complete, by hand")
    words |= dict.fromkeys(bad, "altered")
    problems = [f"version {v}: expected digest {a.expected[:12]}, got {a.got[:12] or 'none'}" for v, a in bad.items()]
    problems += [f"version {version}: models.config lists it, but it is not complete on the disk" for version in lost]
    return OnDisk(words, tuple(bad), problems)


def status(model_name: str, now: Serving, answers: Sequence[Answer], differences: Mapping[str, str], disk: OnDisk) -> str:
    """Returns one model as a table: versions below each other, what the disk, models.config and each server say of them."""
    how = "held" if isinstance(now.state, Held) else "follows the newest version"
    listed = now.state.versions if isinstance(now.state, Held) else ()
    numbers = sorted({*now.complete, *listed, *(number for answer in answers for number in answer.versions)}, reverse=True)
    head = ["version", "on disk", "models.config", *(answer.address for answer in answers)]
    rows = [
        [
            str(number),
            disk.words.get(number, "-"),
            _said(number, now),
            *(_answered(number, a) for a in answers),
        ]
        for number in numbers
    ]
    lines = [f"{model_name}: {how}; live {_name(now.live)}", *(f"  {line}" for line in table([head, *rows]))]
    lines += [f"  {problem}" for problem in disk.problems]
    return "\n".join([*lines, *(f"  {address}: {what}" for address, what in differences.items() if what)])


def history(entries: Iterable[Entry]) -> str:
    """Returns the log as a table."""
    rows = [
        [
            str(entry.number),
            entry.time[:19].replace("T", " "),
            entry.by,
            str(entry.facts.get("model", "")),
            entry.event,
            told(entry),
        ]
        for entry in entries
    ]
    return "\n".join(table([["", "UTC", "by", "model", "event", ""], *rows]))


def told(entry: Entry) -> str:
    """Returns an entry's facts in words."""
    facts = entry.facts
    if "removed" in facts:
        return "versions " + ", ".join(str(removed["version"]) for removed in facts["removed"])
    if "reason" in facts:
        return f"{facts['command']}: {facts['reason']}"
    if "expected" in facts:
        return f"version {facts['version']}: expected {facts['expected'][:12]}, got {facts['got'][:12] or 'none'}"
    parts = [f"version {facts['version']}, {facts['digest'][:12]}"] if "version" in facts else []
    if "after" in facts:
        parts.append(_state_in_words(facts["after"]))
    if facts.get("live") != facts.get("version"):
        parts.append(f"live {_name(facts.get('live'))}")
    return "; ".join(parts)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns rows with their columns below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def as_json(
    model_name: str, now: Serving, answers: Sequence[Answer], differences: Mapping[str, str], disk: OnDisk
) -> dict[str, Any]:
    """Returns what `status` shows, for machines."""
    return {
        "model": model_name,
        "live": now.live,
        "complete": list(now.complete),
        "altered": list(disk.altered),
        **records.as_facts(now.state),
        "servers": [
            {
                "address": answer.address,
                "differs": differences.get(answer.address, ""),
                "live": answer.live,
                "labels": dict(answer.labels),
                "versions": {str(number): vars(said) for number, said in sorted(answer.versions.items())},
            }
            for answer in answers
        ],
    }


def _state_in_words(facts: Mapping[str, Any]) -> str:
    if facts["policy"] != "specific":
        return "serves all versions" if facts["policy"] == "all" else "follows the newest version"
    labels = [f"{name} {version}" for name, version in facts["labels"].items()]
    return ", ".join([f"serves {', '.join(map(str, facts['versions']))}", *labels])


def _said(number: int, now: Serving) -> str:
    listed = isinstance(now.state, Held) and number in now.state.versions
    words = ["live"] if number == now.live else ["served"] if listed else []
    return ", ".join([*words, *(name for name, version in sorted(_labels(now.state).items()) if version == number)]) or "-"


def _answered(number: int, answer: Answer) -> str:
    if answer.problem:
        return "?"
    said = answer.versions.get(number)
    words = [said.state + (" (failed)" if said.error else "")] if said else ["-"]
    words += ["live"] if number == answer.live else []
    return ", ".join([*words, *(name for name, version in sorted(answer.labels.items()) if version == number)])


def _how(after: Serving) -> str:
    if not isinstance(after.state, Held):
        return " (follows the newest)"
    labels = sorted(name for name, version in after.state.labels.items() if version == after.live)
    if labels and "stable" in after.state.labels and "stable" not in labels:
        return f" ({labels[0]}: requests that name no label get it)"
    return "" if labels else " (pinned)"


def _moved(old: int | None, new: int | None) -> str:
    return _name(new) if old == new else f"{_name(old)} -> {_name(new)}"


def _name(version: int | None) -> str:
    return "nothing" if version is None else str(version)


def _labels(state: State) -> Mapping[str, int]:
    return state.labels if isinstance(state, Held) else {}
