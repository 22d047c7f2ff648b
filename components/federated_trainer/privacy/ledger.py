"""The ledger of one population's privacy: what has been released to whom is never forgotten, and adds up.

A file of JSON lines, only ever appended to. Each line carries the digest of the one before, so that a line changed or taken out
is found. It shows accidents, not someone who writes the whole file anew, nor lines missing at the end: against that, keep
`Ledger.head` elsewhere (with the model, say). There is nothing about single clients in it.

    planned --reserve--> open: counts the planned rounds, or those spent before if they are more
    open    --spend----> closed: counts the rounds really attempted; --reserve--> open

A training that dies stays open and counts in full. Populations may change in size from one release to the next: each release
counts with the size its cohorts were drawn from (fewer clients: each takes part more often, and epsilon is larger), delta is
held against the largest.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from typing import Any, BinaryIO

from components.federated_trainer.checkpoints import writing
from components.federated_trainer.privacy.accounting import Guarantee, Release, check_delta, guarantee
from errors import ConfigError, IntegrityError, TrainingError
from lineage.durable import sync_directory

_START = "0" * 64


@dataclass(frozen=True)
class _Account:
    """One release: `release.rounds` are those planned, spent those attempted as far as told."""

    release: Release
    spent: int = 0
    open: bool = True

    def counted(self) -> list[Release]:
        rounds = max(self.release.rounds, self.spent) if self.open else self.spent
        return [replace(self.release, rounds=rounds)] if rounds else []


class Ledger:
    """The ledger at `path`, which need not exist yet. Several processes may use it at once."""

    def __init__(self, path: str) -> None:
        self._path = path

    def reserve(self, release_id: str, planned: Release, delta: float, budget: float | None = None) -> Guarantee:
        """Reserves the planned rounds before the first one; they are on disk when it returns.

        Doing it again under the same id, as a resumed training does, counts once. Of two that reserve at the same moment, the
        second is held against the budget with the first.

        Args:
          release_id: of one training: the same only when it goes on with the same noise from its own checkpoint.
          delta: of the total.
          budget: the largest epsilon of all releases together; None: no limit.

        Returns:
          The total, the planned release included.

        Raises:
          ConfigError: the id stands for another release, or delta is too large.
          TrainingError: the budget would be exceeded; nothing has been reserved.
          IntegrityError: the ledger has been altered.
        """
        with self._locked() as file:
            entries = _read(file, self._path)
            accounts = _accounts(entries, self._path)
            total = _total_with(accounts, release_id, planned, delta)
            if budget is not None and total.epsilon > budget:
                raise _exceeded(budget, accounts, release_id, total)
            known = accounts.get(release_id)
            if known is None or not known.open or known.release.rounds < planned.rounds:
                _append(file, entries, {"kind": "reserve", "release_id": release_id, "release": asdict(planned)})
        return total

    def spend(self, release_id: str, rounds_attempted: int) -> None:
        """Closes a reservation with the rounds attempted since the training began, failed ones included.

        Doing it again changes nothing.

        Raises:
          IntegrityError: there is no such reservation (any more), or the ledger has been altered.
        """
        with self._locked() as file:
            entries = _read(file, self._path)
            account = _accounts(entries, self._path).get(release_id)
            if account is None:
                raise IntegrityError(
                    f"{self._path} has no reservation of release {release_id}, which has trained: expected the one made before"
                    " its first round; restore the ledger."
                )
            if account.open or account.spent < rounds_attempted:
                _append(file, entries, {"kind": "spend", "release_id": release_id, "rounds": rounds_attempted})

    def total(self, delta: float) -> Guarantee:
        """The guarantee of all releases together, open ones in full; epsilon 0 if there is none."""
        return _total(self._accounts(), delta)

    def require(self, budget: float, delta: float, planned: Release, release_id: str = "") -> Guarantee:
        """Returns the total with the planned release; see `reserve`, which it does without reserving anything."""
        accounts = self._accounts()
        total = _total_with(accounts, release_id, planned, delta)
        if total.epsilon > budget:
            raise _exceeded(budget, accounts, release_id, total)
        return total

    def head(self) -> str:
        """The digest of the last line; it stands for all of the ledger up to here."""
        return _last_digest(self._entries())

    def _accounts(self) -> dict[str, _Account]:
        return _accounts(self._entries(), self._path)

    def _entries(self) -> list[dict[str, Any]]:
        if not os.path.exists(self._path):
            return []
        with open(self._path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            return _read(file, self._path)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        directory = os.path.dirname(os.path.abspath(self._path))
        with writing("privacy ledger", directory):
            os.makedirs(directory, exist_ok=True)
            with open(self._path, "a+b", buffering=0) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                sync_directory(directory)
                yield file


def _append(file: BinaryIO, entries: list[dict[str, Any]], content: dict[str, Any]) -> None:
    entry = {
        "line": len(entries) + 1,
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "previous": _last_digest(entries),
        **content,
    }
    line = json.dumps({**entry, "digest": _digest(entry)}, sort_keys=True).encode() + b"\n"
    file.truncate(_whole_lines(file))
    while line:  # an unbuffered write may take less than all
        line = line[file.write(line) :]
    os.fsync(file.fileno())


def _whole_lines(file: BinaryIO) -> int:
    """Bytes up to the last line end: what follows was being written when the machine or process died, and has had no effect."""
    file.seek(0)
    return file.read().rfind(b"\n") + 1


def _read(file: BinaryIO, path: str) -> list[dict[str, Any]]:
    end = _whole_lines(file)
    file.seek(0)
    entries: list[dict[str, Any]] = []
    for number, line in enumerate(file.read(end).splitlines(), start=1):
        entry = _parsed(line)
        body = {key: value for key, value in entry.items() if key != "digest"}
        if (entry.get("digest"), entry.get("previous")) != (_digest(body), _last_digest(entries)):
            raise IntegrityError(
                f"{path}, line {number}: expected the line that was appended here, found another: it, or the one before, has"
                " been altered or removed; restore the ledger from a copy."
            )
        entries.append(entry)
    return entries


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _digest(entry: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()


def _last_digest(entries: list[dict[str, Any]]) -> str:
    return entries[-1]["digest"] if entries else _START


def _accounts(entries: list[dict[str, Any]], path: str) -> dict[str, _Account]:
    accounts: dict[str, _Account] = {}
    for entry in entries:
        name = entry["release_id"]
        known = accounts.get(name)
        if entry["kind"] == "reserve":
            release = _release(entry, path)
            spent = known.spent if known else 0
            still_planned = known.release.rounds if known and known.open else 0
            accounts[name] = _Account(replace(release, rounds=max(release.rounds, still_planned)), spent)
        else:
            accounts[name] = replace(accounts[name], spent=max(accounts[name].spent, entry["rounds"]), open=False)
    return accounts


def _release(entry: dict[str, Any], path: str) -> Release:
    try:
        return Release(**entry["release"])
    except (TypeError, ConfigError) as error:
        raise IntegrityError(
            f"{path}, line {entry['line']}: expected a release this version knows, found another ({error}); use the version of"
            " fedtfx that wrote it."
        ) from None


def _total(accounts: dict[str, _Account], delta: float) -> Guarantee:
    return guarantee([release for account in accounts.values() for release in account.counted()], delta)


def _total_with(accounts: dict[str, _Account], release_id: str, planned: Release, delta: float) -> Guarantee:
    known = accounts.get(release_id)
    if known and replace(planned, rounds=1) != replace(known.release, rounds=1):
        raise ConfigError(
            f"release {release_id} is in the privacy ledger as {replace(known.release, rounds=1)}, expected the same now, got"
            f" {replace(planned, rounds=1)}; train under another id."
        )
    check_delta(delta, max([planned.population, *(account.release.population for account in accounts.values())]))
    spent = known.spent if known else 0
    rounds = max(planned.rounds, known.release.rounds if known and known.open else 0)
    return _total({**accounts, release_id: _Account(replace(planned, rounds=rounds), spent)}, delta)


def _exceeded(budget: float, accounts: dict[str, _Account], release_id: str, after: Guarantee) -> TrainingError:
    now = _total(accounts, after.delta).epsilon
    what = "this training, already reserved, included" if release_id in accounts else f"{now:.4g} before this training"
    return TrainingError(
        f"the privacy budget would be exceeded: expected at most epsilon {budget:g} for all releases to this population, got"
        f" {after.epsilon:.4g} ({what}; {after.unit}); plan fewer rounds or more noise, or raise privacy.budget."
    )
