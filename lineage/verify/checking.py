"""Verifies models: walks back to the source data, and holds everything on the way against what was written down of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from lineage import reading
from lineage.fingerprints import ANCHOR
from lineage.places import Places
from lineage.questions import served
from lineage.questions.naming import Named
from lineage.verify import decisions, files, records, source, statements, told, versions
from lineage.verify.hashing import Hashes
from lineage.verify.report import Finding, Report
from lineage.verify.told import Told
from lineage.verify.way import Way, way


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
    log, hashes = told.told(places.audit_log), Hashes(did)
    key = statements.load_key(public_key, places.root)
    releases = versions.Releases(places.serving_root)
    wanted = way(store, log, named, everything=everything)
    findings = [
        *_logs(store, log, releases),
        *versions.versions(hashes, releases, named),
        *statements.signed(hashes, log, wanted, key),
        *decisions.decisions(hashes, log, wanted),
        *files.files(hashes, log, wanted),
        *_records(store, log, wanted),
        *source.sources(wanted),
    ]
    return Report(tuple(one.name for one in named), tuple(findings), tuple(source.notes(wanted)))


def live_models(store: Any, places: Places) -> list[Named]:
    """Returns the live version of every model under the serving root, each with the Model that its bytes are."""
    return _named(store, places, lambda version: version.live)


def all_versions(store: Any, places: Places) -> list[Named]:
    """Returns every version that is under the serving root."""
    return _named(store, places, lambda version: version.there)


def _named(store: Any, places: Places, wanted: Callable[[served.Version], bool]) -> list[Named]:
    pushes = served.pushes(store)
    found = [version for model in served.all_models(places, pushes) for version in model.versions if wanted(version)]
    return [_with_model(store, version) for version in found]


def _with_model(store: Any, version: served.Version) -> Named:
    ids = [int(push.properties["model_id"]) for push in version.pushes if "model_id" in push.properties]
    models = reading.by_id(store, ids[-1:])
    return Named(version.name, models[0] if models else None, version)


def _logs(store: Any, log: Told, releases: versions.Releases) -> Iterator[Finding]:
    anchors = {run.name: str(run.facts.get(ANCHOR, "")) for run in reading.runs(store)}
    yield from told.check(log, anchors)
    yield from versions.releases_log(releases, served.pushes(store))


def _records(store: Any, log: Told, wanted: Way) -> Iterator[Finding]:
    yield from records.artifacts(store, log, wanted)
    yield from records.executions(store, log, wanted)
    yield from records.runs(store, log, wanted)
