"""Verifies models: walks back to the source data, and holds everything on the way against what was written down of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from lineage import reading
from lineage.fingerprints import ANCHOR
from lineage.places import Places
from lineage.questions import naming, served
from lineage.questions.naming import Named
from lineage.verify import decisions, files, folders, left_out, records, run_log, seals, source, statements, versions
from lineage.verify.hashing import Hashes
from lineage.verify.report import Finding, Report
from lineage.verify.run_log import RunLog
from lineage.verify.scope import Scope, scope_of


def verify(
    store: Any,
    places: Places,
    named: Sequence[Named],
    *,
    everything: bool = False,
    public_key: str | None = None,
    did: Callable[[int], None] = lambda total: None,
) -> Report:
    """Recomputes every digest on the way from models back to the source data.

    Args:
      store: ML Metadata, to read from; see `lineage.store`.
      places: roots of the pipeline and of serving.
      named: the models; see `live_models` and `naming.resolve`.
      everything: all artifacts, executions and runs, not only those on the way.
      public_key: file of the key to hold statements against; None for the one that this machine signs with.
      did: told of the bytes read so far.

    Returns:
      A report. Nothing is written, and what cannot be read is a finding.

    Raises:
      ConfigError: `public_key` is none.
      FedtfxError: ML Metadata cannot be read.
    """
    log, hashes = run_log.read(places.audit_log), Hashes(did)
    key = statements.load_key(public_key, places.root)
    releases = versions.Releases(places.serving_root)
    wanted = scope_of(store, log, named, everything=everything)
    findings = [
        *_logs(store, log, releases),
        *seals.seals(log, wanted.runs, key),
        *left_out.lists(places.root, log),
        *versions.versions(hashes, releases, named),
        *folders.folders(places.serving_root, named, everything=everything),
        *(versions.elsewhere(releases, named, served.pushes(store)) if everything else ()),
        *statements.signed(hashes, log, wanted, key),
        *decisions.decisions(hashes, log, wanted),
        *files.files(hashes, log, wanted, places.root),
        *_records(store, log, wanted),
        *source.sources(wanted),
    ]
    return Report(tuple(one.name for one in named), tuple(findings), (*seals.notes(log, key), *source.notes(wanted)))


def live_models(store: Any, places: Places) -> list[Named]:
    """Returns the live version of every model under the serving root, each with the Model that its bytes are.

    And every version that should be there and is not: what is live would be another one, or nothing at all.
    """
    return _named(store, places, lambda version: version.live or version.how == served.LOST)


def all_versions(store: Any, places: Places) -> list[Named]:
    """Returns every version that is under the serving root, or should be; not those that were pruned."""
    return _named(store, places, lambda version: version.there or version.how == served.LOST)


def _named(store: Any, places: Places, wanted: Callable[[served.Version], bool]) -> list[Named]:
    pushes = served.pushes(store)
    models = (*served.all_models(places, pushes), *served.lost_models(places, pushes))
    found = [version for model in models for version in model.versions if wanted(version)]
    return [_with_model(store, version) for version in found]


def _with_model(store: Any, version: served.Version) -> Named:
    return Named(version.name, naming.model_of(store, version.pushes[-1]) if version.pushes else None, version)


def _logs(store: Any, log: RunLog, releases: versions.Releases) -> Iterator[Finding]:
    anchors = {run.name: str(run.facts.get(ANCHOR, "")) for run in reading.runs(store)}
    yield from run_log.check(log, anchors)
    yield from versions.releases_log(releases, served.pushes(store), log.entries)


def _records(store: Any, log: RunLog, wanted: Scope) -> Iterator[Finding]:
    yield from records.artifacts(store, log, wanted)
    yield from records.executions(store, log, wanted)
    yield from records.runs(store, log, wanted)
