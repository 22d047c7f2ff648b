"""Lists of runs and models, what came of data, and differences, in tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lineage.questions import decisions, runs, served
from lineage.questions.differing import Differences, Fact
from lineage.questions.impact import Came, Impact
from lineage.questions.listing import ModelLine
from lineage.questions.runs import RunLine
from lineage.questions.served import Version
from lineage.questions.tables import table, when

_VERSIONS = 3
_MOST = 5


def listed(models: Sequence[ModelLine] | None, lines: Sequence[RunLine] | None, columns: int, limit: int) -> Iterator[str]:
    """Yields tables of what was asked for; None was not."""
    if models is not None:
        yield from _titled("models", model_table(models, columns), len(models), limit)
    if models is not None and lines is not None:
        yield ""
    if lines is not None:
        yield from _titled("runs", run_table(lines, columns), len(lines), limit)


def model_table(models: Sequence[ModelLine], columns: int) -> list[str]:
    """Returns the lines of a table of models."""
    header = ["model", "version", "is", "decision", "metric", "trained by", "artifact"]
    rows = [
        [
            line.name,
            _versions(line),
            _state(line),
            _decision(line),
            _metric(line),
            line.run,
            f"id:{line.id}" if line.id else "unknown",
        ]
        for line in models
    ]
    return table(header, rows, columns)


def run_table(lines: Sequence[RunLine], columns: int) -> list[str]:
    """Returns the lines of a table of runs."""
    header = ["run", "pipeline", "began (UTC)", "state", "nodes", "decision", "pushed as", "metric"]
    rows = [
        [
            line.run,
            line.pipeline,
            when(line.created),
            _run_state(line),
            _nodes(line),
            line.decision,
            _pushed(line),
            _metric(line),
        ]
        for line in lines
    ]
    return table(header, rows, columns)


def impact(found: Impact, columns: int) -> Iterator[str]:
    """Yields what came of some data."""
    yield from _sources(found, columns)
    yield ""
    yield from _live(found)
    sections = (
        ("models that came from it", found.models),
        ("models of which that cannot be told: its splits hold groups of clients, or their indexes are gone", found.possible),
        ("measured with it only; they did not come from it", found.compared),
    )
    for title, some in sections:
        if some:
            yield ""
            yield title
            yield from (f"  {line}" for line in _came_table(some, columns - 2))


def differences(found: Differences, columns: int) -> Iterator[str]:
    """Yields what differs of two runs or models, or all that is told of them."""
    yield f"A  {found.a}"
    yield f"B  {found.b}"
    if found.same:
        yield ""
        yield "They are the same in all that was recorded."
    for name, facts in found.groups.items():
        if facts:
            yield ""
            yield name
            rows = [[fact.name, _shown(fact.a), _shown(fact.b), _change(fact)] for fact in facts]
            yield from (f"  {line}" for line in table(["", "A", "B", "B - A"], rows, columns - 2))


def _sources(found: Impact, columns: int) -> Iterator[str]:
    yield found.asked
    rows = [[f"id:{one.id}", one.short_type, one.node, one.run, one.uri] for one in found.artifacts]
    shown = table(["artifact", "type", "made by", "run", "folder"], rows[:_MOST], columns - 2)
    yield from (f"  {line}" for line in shown or ["no split is known to hold it"])
    if len(rows) > _MOST:
        yield f"  and {len(rows) - _MOST} more; --json names all"
    if found.same_files:
        ids = ", ".join(f"id:{one.id}" for one in found.same_files[:_MOST])
        yield f"  The same files are in {ids}{', ...' if len(found.same_files) > _MOST else ''} too: ask about their digest"
        yield f"  {found.same_files[0].digest[:16]} to see what came of all of them."


def _live(found: Impact) -> Iterator[str]:
    number = len(found.models)
    models = f"{number} model{'' if number == 1 else 's'} came from it" if number else "No model came from it"
    yield f"{models}; live now: {', '.join(found.live) or 'none of them'}."
    if found.possible:
        yield f"{len(found.possible)} more may have; live now of these: {', '.join(found.possibly_live) or 'none'}."


def _came_table(some: Sequence[Came], columns: int) -> list[str]:
    header = ["model", "version", "is", "how", "decision", "trained by", "artifact"]
    rows = [
        [
            one.model.name,
            _versions(one.model),
            _state(one.model),
            one.how,
            _decision(one.model),
            one.model.run,
            f"id:{one.model.id}",
        ]
        for one in some
    ]
    return table(header, rows, columns)


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _change(fact: Fact) -> str:
    return "" if fact.difference is None else f"{fact.difference:+.4g}"


def _titled(title: str, shown: Sequence[str], found: int, limit: int) -> Iterator[str]:
    yield title
    yield from (f"  {line}" for line in shown or ["none"])
    if limit and found == limit:
        yield f"  the newest {limit}; --limit 0 shows all"


def _versions(line: ModelLine) -> str:
    best = sorted(line.versions, key=lambda version: (not version.live, not version.there, -version.number))
    shown = [str(version.number) for version in best[:_VERSIONS]]
    return ", ".join(shown if len(best) <= _VERSIONS else [*shown, "..."])


def _state(line: ModelLine) -> str:
    words = [*(["live"] if line.live else []), *line.labels]
    there = [version for version in line.versions if version.there]
    if any(version.how == served.BY_HAND for version in there):
        words.append("put there by hand")
    if elsewhere := {served.judged_elsewhere(version) for version in there} - {""}:
        words.append(f"{min(elsewhere).upper()}: another folder is served")
    if not words and line.versions:
        words = ["served" if _waits(there) else "not served" if there else line.versions[-1].how]
    return ", ".join(words)


def _waits(there: Sequence[Version]) -> bool:
    return any(version.in_service for version in there)


def _decision(line: ModelLine) -> str:
    """The one it went live by, and that a later run judged the same model otherwise."""
    since = decisions.otherwise(line.decision, line.other_decisions) if line.versions else []
    more = f" and {len(since) - 1} more" if len(since) > 1 else ""
    return f"{line.decision}; {since[0].decision} since by {since[0].run or 'a run'}{more}" if since else line.decision


def _metric(line: ModelLine | RunLine) -> str:
    return "" if line.value is None else f"{line.metric} {line.value:.4f}"


def _run_state(line: RunLine) -> str:
    if line.state == runs.RUNNING:
        return f"running at {', '.join(line.stopped_at)}"
    if line.state == runs.DEAD:
        return f"running since {when(line.updated)} (dead?), at {', '.join(line.stopped_at)}"
    return f"{line.state} at {', '.join(line.stopped_at)}" if line.stopped_at else line.state


def _nodes(line: RunLine) -> str:
    cached, all_of_them = line.nodes.get(runs.CACHED, 0), sum(line.nodes.values())
    return f"{all_of_them}, {cached} cached" if cached else str(all_of_them)


def _pushed(line: RunLine) -> str:
    return f"{line.pushed}{'' if line.copied else ' (was there)'}" if line.pushed else ""
