"""Where it comes from: the lineage graph, every artifact's digest, and the code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.run_report import lineage_picture
from components.run_report.blocks import Block, Code, Diagram, Facts, Figures, Strong, Table, Text
from components.run_report.formats import plain, seconds, when
from components.run_report.sections.verdict import missing

_SHORT = 12
_CODE = {
    "git_commit": "Git commit",
    "code_version": "Digest of our sources",
    "lock_digest": "Digest of the locked requirements",
    "config_digest": "Digest of the config",
}


def lineage(facts: Mapping[str, Any]) -> Sequence[Block]:
    """The graph, and the same for those who do not see it."""
    found = facts["lineage"]
    if absent := missing(found):
        return absent
    drawn = lineage_picture.draw(found["nodes"], facts["model"].get("id", 0))
    rows = [
        [
            Strong(node["node"]),
            ", ".join(map(str, node["inputs"])) or "-",
            ", ".join(f"{made['id']} {made['key'].replace('_', ' ')}" for made in node["outputs"]) or "-",
            seconds(node["seconds"]),
            f"earlier run {node['run']}" if node["cached"] else "this run",
        ]
        for node in found["nodes"]
    ]
    caption = (
        "A box is a node with what it made: id, kind, start of the sha256. Blue: the model's way. Dashed: from an earlier run."
    )
    return [
        Figures([drawn], caption, wide=True),
        Diagram(_mermaid(found["nodes"])),
        Table("Nodes, with the ids of what they took and made", ("Node", "Took", "Made", "Time", "Made in"), rows, folded=True),
    ]


def _mermaid(nodes: Sequence[Mapping[str, Any]]) -> str:
    maker = {made["id"]: node["execution"] for node in nodes for made in node["outputs"]}
    names = {made["id"]: made["key"].replace("_", " ") for node in nodes for made in node["outputs"]}
    boxes = [f'  n{node["execution"]}["{_word(node["node"])}"]' for node in nodes]
    lines = [
        f"  n{maker[taken]} -->|{taken} {_word(names[taken])}| n{node['execution']}"
        for node in nodes
        for taken in node["inputs"]
        if taken in maker
    ]
    return "\n".join(["flowchart TD", *boxes, *lines])


def _word(text: str) -> str:
    return "".join(character if character.isalnum() or character in " -." else " " for character in text)


def digests(facts: Mapping[str, Any]) -> Sequence[Block]:
    """One row per artifact, the full digest in it."""
    found, model = facts["artifacts"], facts["model"]
    if absent := missing(found):
        return absent
    rows = [
        [str(row["id"]), row["type"], row["node"] or "-", Code(row["digest"] or "not recorded"), Code(row["uri"])]
        for row in found["rows"]
    ]
    served = (
        [Facts([("Served version", Code(str(model["path"]))), ("Its sha256", Code(model["served_digest"]))])]
        if model.get("pushed")
        else []
    )
    said = Text(
        "The sha256 of a directory is over the paths and bytes of all its files; python -m lineage verify recomputes it."
    )
    return [said, *served, Table("Every artifact of the run", ("Id", "Kind", "Made by", "sha256", "Where"), rows)]


def code(facts: Mapping[str, Any]) -> Sequence[Block]:
    """Commit, digests, versions; of earlier runs too."""
    found = facts["code"]
    if absent := missing(found):
        return absent
    told = [
        ("Run", f"{found['run']}, {when(found['started'])}"),
        *((name, Code(plain(found[key]))) for key, name in _CODE.items()),
    ]
    told += [("Model module", Code(plain(found["module"]))), ("Its digest", Code(plain(found["module_digest"])))]
    told += [("Seed", plain(found["seed"])), ("Python", plain(found["python"]))]
    versions = [[name, plain(version)] for name, version in found["versions"].items()]
    nodes = [[Strong(row["node"]), Code(plain(row["code_version"]))] for row in found["nodes"]]
    earlier = [
        [one["run"], ", ".join(one["nodes"]), Code(plain(one["git_commit"])[:_SHORT]), Code(plain(one["code_version"]))]
        for one in found["earlier"]
    ]
    more = (
        [Table("Made by earlier runs, and taken from the cache", ("Run", "Nodes", "Commit", "Our sources"), earlier)]
        if earlier
        else []
    )
    return [
        Facts(told),
        *more,
        Table("Versions", ("Package", "Version"), versions, folded=True),
        Table("Code of each node", ("Node", "Digest of its sources"), nodes, folded=True),
    ]
