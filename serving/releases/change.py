"""Carries a release out: step by step, each waited for, and back to where it was if a server does not follow."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from errors import IntegrityError, ReleaseError
from lineage.audit_log import Entry
from lineage.digests import tree_digest
from serving import layout, models_config, records, servers
from serving.models_config import Following, Held, State
from serving.records import Serving
from serving.releases import state, wording

UNDONE = "undone"
UNASKED = "written without asking a server; give --server HOST:PORT to wait until it answers so:"
_RESTORE_SECONDS = 10.0

Decide = Callable[[Serving, Sequence[Entry]], State]


@dataclass(frozen=True)
class Release:
    """Where and how.

    Attributes:
      root: the serving root.
      model_name: of the model.
      servers: HOST:PORT of those that must follow; none if nobody is waited for.
      ca_file: PEM file of the authorities of a grpcs:// server; gRPC's own if None.
      wait_seconds: for each step, at most.
      lock_seconds: for another release or push to end, at most.
      dry_run: says what would change, and changes nothing.
      say: is told what is done.
    """

    root: Path
    model_name: str
    servers: tuple[str, ...]
    ca_file: str | None
    wait_seconds: float
    lock_seconds: float
    dry_run: bool
    say: Callable[[str], None]

    @property
    def model_dir(self) -> Path:
        """The directory of the model's versions."""
        return self.root / self.model_name


def change(release: Release, command: str, decide: Decide) -> None:
    """Decides with nobody else at work, makes models.config say it, and waits until the servers do.

    Raises:
      FedtfxError: it is refused, and nothing is changed.
      ReleaseError: a server does not follow; models.config says what it said before.
    """
    with _alone(release) as now:
        told = records.entries(release.root, release.model_name)
        wanted = decide(now, told)
        after = Serving(wanted, now.complete)
        _check_bytes(release, now, after, told)
        said = wording.changed(release.model_name, now, after)
        if release.dry_run:
            release.say(f"would change {said}" if wanted != now.state else f"nothing would change: {said}")
            return
        _check_reachable(release)
        if wanted == now.state:
            _wait(release, after, after, release.wait_seconds)
            release.say(f"nothing to change: {said}")
            return
        if not release.servers:
            release.say(UNASKED)
        _carry_out(release, command, now, after)
        facts = {"before": records.as_facts(now.state), "after": records.as_facts(wanted), "servers": list(release.servers)}
        records.add(release.root, command, release.model_name, after.live, **facts)
        release.say(said)


def prune(release: Release, keep: int) -> None:
    """Removes versions that nothing refers to; see `state.prunable`.

    Raises:
      FedtfxError: it is refused, and nothing is removed.
    """
    with _alone(release) as now:
        answers = _check_reachable(release)
        busy = {number for answer in answers for number, said in answer.versions.items() if said.state != servers.END}
        lived = lived_by(records.entries(release.root, release.model_name))
        removed = state.prunable(now, keep, busy, lived)
        names = ", ".join(map(str, removed)) or "nothing"
        if not release.dry_run and removed:
            facts = [{"version": version, "digest": _digest(release.model_dir / str(version))} for version in removed]
            for version in removed:
                layout.remove(release.model_dir, version)
            records.add(release.root, records.PRUNE, release.model_name, now.live, removed=facts)
        kept = ", ".join(_kept(version, now, busy) for version in now.complete if version not in removed) or "nothing"
        release.say(f"{release.model_name}: {'would remove' if release.dry_run else 'removed'} {names}; kept {kept}")


def _kept(version: int, now: Serving, busy: Collection[int]) -> str:
    return f"{version} (live)" if version == now.live else f"{version} (in a server)" if version in busy else str(version)


def current(now: Serving, told: Sequence[Entry]) -> int | None:
    """Returns the version that is live, or was meant to be though its directory is broken or gone; None if there is none."""
    if isinstance(now.state, Held):
        return now.state.versions[-1]
    meant: int | None = None
    for entry in told:
        live = entry.facts["live"]
        found = "version" in entry.facts and entry.event in (records.FOUND, records.MISSING)
        meant = max(live or 0, meant) if found and meant is not None else live
    return max((version for version in (meant, now.live) if version is not None), default=None)


def lived_by(told: Sequence[Entry]) -> list[int]:
    """Returns the versions that were live, oldest first, one after the other as often as they were."""
    return [entry.facts["live"] for entry in told if entry.facts["live"] is not None]


@contextlib.contextmanager
def _alone(release: Release) -> Iterator[Serving]:
    """The model as it is, while nobody pushes or releases it; a dry run writes nothing, not even a lock."""
    if release.dry_run:
        yield layout.serving(release.model_dir)
        return
    with models_config.locked(release.model_dir, release.lock_seconds, release.say):
        yield layout.settle(release.model_dir)


def _check_bytes(release: Release, now: Serving, after: Serving, told: Sequence[Entry]) -> None:
    """Nothing is put in service that is not what the log tells of; what is in service already can still be left."""
    stays = set(records.in_service(now)) - ({after.live} if after.live != now.live else set())
    for bad in records.altered(release.root, release.model_name, records.in_service(after), told):
        got = bad.got[:12] or "none that can be read"
        what = f"version {bad.version} in {release.model_dir} was altered: expected digest {bad.expected[:12]}, got {got}"
        if bad.version not in stays:
            raise IntegrityError(f"{what}; restore it from a copy, or name another version. Nothing was changed.")
        release.say(f"{what}; it stays in service: release another version, or restore it from a copy")
    for version in records.by_hand(records.in_service(after), told):
        release.say(f"version {version} was never pushed but put there by hand: the log holds no digest of what was made")


def _check_reachable(release: Release) -> list[servers.Answer]:
    answers = [servers.ask(address, release.model_name, ca_file=release.ca_file) for address in release.servers]
    if silent := [f"{answer.address}: {answer.problem}" for answer in answers if answer.problem]:
        raise ReleaseError(
            f"expected every server to answer before anything is changed, got {'; '.join(silent)}; start it, leave it out, or"
            " give --no_wait. Nothing was changed."
        )
    return answers


def _carry_out(release: Release, command: str, before: Serving, after: Serving) -> None:
    path = state.steps(before, after.state) if release.servers else [after.state]
    reached = before
    try:
        for step in path:
            reached = Serving(step, before.complete)
            _write(release, step)
            _wait(release, reached, after, release.wait_seconds)
    except BaseException as error:
        _restore(release, reached, before)
        reason = str(error) or type(error).__name__
        records.add(release.root, UNDONE, release.model_name, before.live, command=command, reason=reason)
        if isinstance(error, ReleaseError):
            raise ReleaseError(
                f"{command} was taken back, {models_config.FILE} says what it said before: {error}. If the server does not"
                f" read {release.root / models_config.FILE} (--model_config_file), no command here reaches it."
            ) from None
        raise


def _restore(release: Release, reached: Serving, before: Serving) -> None:
    """The same steps back. What was listed before comes first; whether the servers follow is not ours to insist on now."""
    for step in state.steps(reached, before.state):
        _write(release, step)
        if step != before.state:
            with contextlib.suppress(ReleaseError):
                _wait(release, Serving(step, before.complete), before, min(release.wait_seconds, _RESTORE_SECONDS))


def _write(release: Release, wanted: State) -> None:
    with models_config.locked(release.root, release.lock_seconds, release.say):
        models_config.put(release.root, release.model_name, wanted)


def _wait(release: Release, step: Serving, after: Serving, seconds: float) -> None:
    servers.wait(release.servers, release.model_name, expected(step, after), seconds, said=release.say, ca_file=release.ca_file)


def expected(step: Serving, after: Serving) -> servers.Expected:
    """Returns what servers should answer at a step on the way to `after`."""
    served = [version for version in records.served(after.state, after.complete) if isinstance(after.state, Held)]
    labels = after.state.labels if isinstance(after.state, Held) and isinstance(step.state, Held) else {}
    there = isinstance(step.state, Following) or step.state.labels == labels
    return servers.Expected(
        available=served or [version for version in [after.live] if version is not None],
        live=after.live if step.state == after.state else None,
        labels={name: version for name, version in labels.items() if version in after.complete} if there else {},
    )


def _digest(folder: Path) -> str:
    try:
        return tree_digest(folder)
    except (OSError, ValueError):
        return ""
