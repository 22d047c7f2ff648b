"""What the page asks of the library that `list`, `show`, `diff` and `verify` are made of."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from errors import ConfigError, FedtfxError
from lineage import signing, statement
from lineage.console import files, views
from lineage.console.settings import Settings
from lineage.console.snapshot import Snapshot, Snapshots
from lineage.console.verifying import Progress
from lineage.jsonable import jsonable
from lineage.questions import differing, listing, naming, origin, served
from lineage.questions.naming import Named
from lineage.questions.served import Version
from lineage.verify import checking, verify
from lineage.verify.statements import load_key

EVERYTHING = "all"
LISTS: dict[str, Callable[..., Any]] = {"models": listing.model_lines, "runs": listing.run_lines}


class Questions:
    """Asks the store, the serving directory and the artifacts; nothing is written."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._places = settings.places
        self._locks = {what: threading.Lock() for what in LISTS}
        self._lists: dict[str, tuple[int, list[dict[str, Any]]]] = {}

    def prepare(self, snapshots: Snapshots) -> None:
        """Reads what the first pages will ask for; what goes wrong there, they will tell."""
        with suppress(FedtfxError):
            for what in LISTS:
                self.listed(what, snapshots.now())
            _ = snapshots.now().models

    def listed(self, what: str, snapshot: Snapshot) -> list[dict[str, Any]]:
        """Returns all `models` or `runs` in lines, newest first, as of a snapshot."""
        with self._locks[what]:
            number, lines = self._lists.get(what, (0, []))
            if number != snapshot.number:
                with self._places.opened() as store:
                    lines = jsonable(LISTS[what](store, self._places))
                self._lists[what] = snapshot.number, lines
            return lines

    def about(self, snapshot: Snapshot) -> dict[str, Any]:
        """Returns where a snapshot was read, and when."""
        return {
            "metadata": self._places.metadata,
            "serving_root": self._places.serving_root,
            "read_at": snapshot.read_at,
        }

    def model(self, snapshot: Snapshot, asked: Mapping[str, str]) -> dict[str, Any]:
        """Returns the origin of a model (`id`), its signed statement, and the artifacts about it with a card or a picture."""
        model = views.snapshot_artifact(snapshot, asked)
        with self._places.opened() as store:
            found = origin.of(naming.of_artifact(model, store, self._places), store)
        number = found.model.id if found.model else model.id
        beside = {one.id for one in found.things}
        about = [one for one in snapshot.graph.artifacts.values() if one.id in beside or one.model_id == number]
        return {
            "origin": found.as_json(),
            "statement": self._statement(found.served) if found.served else None,
            "reports": [views.with_files(snapshot, one) for one in about if files.of(one)],
        }

    def diff(self, first: str, second: str) -> dict[str, Any]:
        """Returns in what two runs or models differ.

        Raises:
          FedtfxError: one of them is none, or cannot be read.
        """
        with self._places.opened() as store:
            a, b = (self.no_path(text, store) for text in (first, second))
            return differing.of_texts(a, b, store, self._places).as_json()

    def verified(self, target: str, progress: Progress) -> dict[str, Any]:
        """Returns the report on what a text names: a model, every live one if it is empty, or everything (`all`).

        Raises:
          FedtfxError: it names nothing, or cannot be read.
        """
        with self._places.opened() as store:
            report = verify(
                store,
                self._places,
                self._to_verify(target, store),
                everything=target == EVERYTHING,
                public_key=self._settings.public_key or None,
                did=progress,
            )
        return report.as_json()

    def _to_verify(self, target: str, store: Any) -> list[Named]:
        if target == EVERYTHING:
            return checking.all_versions(store, self._places)
        if target:
            return [naming.resolve(self.no_path(target, store), store, self._places)]
        found = checking.live_models(store, self._places)
        if not found:
            raise ConfigError("expected a live model, got none; name one, or verify everything.")
        return found

    def no_path(self, text: str, store: Any) -> str:
        """Returns a name of a model or run. On the command line it may be a path; here whoever asks may be far away.

        Raises:
          ConfigError: it is nothing that ML Metadata or the serving directory knows by name.
        """
        name, _, version = text.partition("/")
        if text.startswith(("id:", "run:")):
            return text
        if name in served.names(self._places.serving_root):
            known = served.model(self._places.serving_root, name, served.pushes(store)).versions
            if text == name or version in [str(one.number) for one in known]:
                return text
        raise ConfigError(f"expected NAME or NAME/VERSION of what is served, id:N or run:NAME, got {text[:80]!r}.")

    def _statement(self, version: Version) -> dict[str, Any] | None:
        """What a version's statement says of itself, and whether the key that is known here signed it for these bytes."""
        if version.statement is None:
            return None
        try:
            content, _ = signing.read(version.statement)
            said, key_id = statement.unproven(content)
            name, digest = statement.about(said)
        except (OSError, FedtfxError, signing.BadEnvelope) as error:
            return {"path": version.statement, "error": str(error)}
        found = {"path": version.statement, "subject": name, "digest": digest, "key": key_id, "said": said}
        public = load_key(self._settings.public_key or None, self._places.root)
        if public is None:
            return {**found, "verified": None, "problem": ""}
        checked = statement.check(content, public, version.digest or None, name=version.name)
        return {**found, "verified": checked.verified, "problem": checked.problem}
