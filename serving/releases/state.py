"""What a command makes of what is served: pure functions from a model as it is to what models.config should say.

Listed is what a held model serves; a listed version without a label is a pin. A request that names no version gets the highest
listed one, so every command says what it does to that.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from errors import ConfigError
from serving import records
from serving.models_config import Following, Held, State
from serving.records import Serving

STABLE, CANARY = "stable", "canary"


def label(now: Serving, version: int, name: str) -> State:
    """Gives a version a label. Pins stay, but `stable` takes their place: it is what was meant to be live.

    Raises:
      ConfigError: there is no such complete version, or the label cannot stand in a URL.
    """
    _check_label(name)
    _check_complete(now, version)
    labels = {**_labels(now.state), name: version}
    pins = set() if name == STABLE else _pins(now)
    return Held(tuple({*labels.values(), *pins}), labels)


def canary(now: Serving, version: int) -> State:
    """Serves a version beside the others, as `canary`.

    Raises:
      ConfigError: see `label`; or there is no other to be beside.
    """
    wanted = label(now, version, CANARY)
    if isinstance(wanted, Held) and wanted.versions == (version,):
        raise ConfigError(
            f"canary: expected a version beside the one that is served, got {version}, which would be alone; promote the stable"
            " version first, and push or name another."
        )
    return wanted


def unlabel(now: Serving, name: str) -> State:
    """Takes a label away, and its version out of service unless it was stable or nothing else is served.

    Raises:
      ConfigError: there is no such label.
    """
    labels = _labels(now.state)
    if name not in labels:
        known = ", ".join(f"{label} at {version}" for label, version in sorted(labels.items())) or "none"
        raise ConfigError(f"unlabel: expected a label that is given ({known}), got {name!r}; see the command status.")
    left = {label: version for label, version in labels.items() if label != name}
    versions = {*left.values(), *_pins(now)}
    if name == STABLE or not versions:
        versions.add(labels[name])
    return Held(tuple(versions), left)


def rollback(now: Serving, current: int | None, lived: Sequence[int], to: int | None = None) -> State:
    """Makes an earlier version live: nothing above it is served any more.

    Args:
      now: the model as it is.
      current: the version that is live or was meant to be, though its directory is broken or gone; None if there is none.
      lived: versions that were live, oldest first.
      to: the version to serve; if None, the one that was live before, or else the highest complete one below.

    Raises:
      ConfigError: there is no such version.
    """
    target = _check_earlier(now, current, to) if to is not None else _before(now, current, lived)
    labels = {name: version for name, version in _labels(now.state).items() if version <= target and version in now.complete}
    if _labels(now.state).get(STABLE, target) > target:
        labels[STABLE] = target
    return Held((target, *labels.values()), labels)


def pin(now: Serving, version: int) -> State:
    """Holds what requests without a version get at one version; labels stay.

    Raises:
      ConfigError: there is no such complete version, or a label is at a higher one, which would be served instead.
    """
    _check_complete(now, version)
    labels = _labels(now.state)
    if above := [f"{name} at {at}" for name, at in sorted(labels.items()) if at > version]:
        raise ConfigError(
            f"pin: expected no label above version {version}, got {', '.join(above)}, which requests without a version would"
            f" get; unlabel it, or roll back to {version}."
        )
    return Held((version, *labels.values()), labels)


def unpin(now: Serving) -> State:
    """Follows the newest version again.

    Raises:
      ConfigError: there are labels.
    """
    if labels := _labels(now.state):
        given = ", ".join(f"{name} at {version}" for name, version in sorted(labels.items()))
        raise ConfigError(
            f"unpin: expected a model without labels, got {given}; a label needs its version held: unlabel first."
        )
    return now.state if isinstance(now.state, Following) else Following()


def prunable(now: Serving, keep: int, answering: Collection[int], lived: Sequence[int] = ()) -> list[int]:
    """Returns the versions that may be removed, rising: complete, not among the newest `keep`, neither live nor listed, and
    none that a server still has something to do with. What was live before (`lived`, oldest first) stays too: a server falls
    back to it when it cannot load the newest.

    Raises:
      ConfigError: `keep` is less than one.
    """
    if keep < 1:
        raise ConfigError(f"--keep: expected at least 1, got {keep}; the newest version is always kept.")
    before = [version for version in lived if version in now.complete and version != now.live][-1:]
    lower = [version for version in lived if version in now.complete and version < (now.live or 0)][-1:]
    needed = {*now.complete[-keep:], *records.in_service(now), *answering, *before, *lower}
    return [version for version in now.complete if version not in needed]


def steps(before: Serving, wanted: State) -> list[State]:
    """Returns what to write one after the other, waiting for the servers in between; `wanted` is the last, if it
    is not so already.

    A server refuses a label for a version that it has not loaded, and drops at once what is no longer listed. So first the new
    versions are listed beside the old ones, then the labels move, then the old versions go.
    """
    if before.state == wanted:
        return []
    old = _versions(before)
    final = wanted if isinstance(wanted, Held) else Held((max(before.complete),)) if before.complete else None
    if final is None or not old:
        return [wanted]
    both = tuple({*old, *final.versions})
    path: list[State] = [Held(both, _labels(before.state)), Held(both, final.labels), wanted]
    reached, found = before.state, []
    for state in path:
        if state != reached:
            found.append(state)
            reached = state
    return found


def _versions(now: Serving) -> tuple[int, ...]:
    if isinstance(now.state, Held):
        return now.state.versions
    return () if now.live is None else (now.live,)


def _labels(state: State) -> dict[str, int]:
    return dict(state.labels) if isinstance(state, Held) else {}


def _pins(now: Serving) -> set[int]:
    return set(_versions(now)) - set(_labels(now.state).values())


def _check_label(name: str) -> None:
    if not name or any(character in name for character in "/:") or not name.isprintable() or " " in name:
        raise ConfigError(f"expected a label that can stand in a URL, such as stable, got {name!r}; choose another.")


def _check_complete(now: Serving, version: int) -> None:
    if version not in now.complete:
        raise ConfigError(f"expected a complete version ({_listed(now.complete)}), got {version}; see the command status.")


def _check_earlier(now: Serving, current: int | None, to: int) -> int:
    _check_complete(now, to)
    if current is not None and to >= current:
        raise ConfigError(
            f"rollback: expected a version before {current}, which is live, got {to}; promote serves a later one."
        )
    return to


def _before(now: Serving, current: int | None, lived: Sequence[int]) -> int:
    earlier = [version for version in now.complete if current is None or version < current]
    if not earlier:
        what = "any complete version" if current is None else f"a complete version before {current}, which is live"
        raise ConfigError(f"rollback: expected {what}, got none; push a model, or name one with --to (see the command status).")
    return next((version for version in reversed(lived) if version in earlier), earlier[-1])


def _listed(versions: Sequence[int]) -> str:
    shown = [str(version) for version in versions[-5:]]
    return ", ".join((["..."] if len(versions) > 5 else []) + shown) or "there is none"
