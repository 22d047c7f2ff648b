"""`python -m serving status`, `history`, `promote`, `canary`, `unlabel`, `rollback`, `pin`, `unpin` and `prune`.

Exit codes: 0 done, 1 a server does not follow or answer (nothing is changed then), 2 refused.
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from errors import ConfigError, ReleaseError
from lineage import audit_log
from lineage.command_line import Parser
from serving import layout, models_config, records, servers
from serving.releases import state, wording
from serving.releases.change import Decide, Release, change, current, expected, lived_by
from serving.releases.change import prune as remove_old


def promote(arguments: Sequence[str]) -> int:
    """Gives a version a label; `stable` makes it what is live, unless another label is at a higher one."""
    parser = _changing("promote", "Gives a version a label, and serves it.")
    parser.add_argument("version", type=_version)
    parser.add_argument("--label", default=state.STABLE)
    given = parser.parse_args(arguments)
    return _change(given, "promote", lambda now, told: state.label(now, given.version, given.label))


def canary(arguments: Sequence[str]) -> int:
    """Serves a version beside the stable one, under the label canary."""
    parser = _changing(
        "canary", "Serves a version beside the stable one. Requests that name neither label nor version get the highest."
    )
    parser.add_argument("version", type=_version)
    given = parser.parse_args(arguments)
    return _change(given, "canary", lambda now, told: state.canary(now, given.version))


def unlabel(arguments: Sequence[str]) -> int:
    """Takes a label away."""
    parser = _changing("unlabel", "Takes a label away, and its version out of service unless it was stable or the only one.")
    parser.add_argument("label")
    given = parser.parse_args(arguments)
    return _change(given, "unlabel", lambda now, told: state.unlabel(now, given.label))


def rollback(arguments: Sequence[str]) -> int:
    """Serves an earlier version."""
    parser = _changing("rollback", "Serves an earlier version: the one that was live before, unless told otherwise.")
    parser.add_argument("--to", type=_version, metavar="VERSION")
    given = parser.parse_args(arguments)

    def decide(now: records.Serving, told: Sequence[audit_log.Entry]) -> models_config.State:
        return state.rollback(now, current(now, told), lived_by(told), given.to)

    return _change(given, "rollback", decide)


def pin(arguments: Sequence[str]) -> int:
    """Holds what is served at a version; pushes wait."""
    parser = _changing("pin", "Holds what is served at a version, by default the live one; pushes are not served meanwhile.")
    parser.add_argument("version", type=_version, nargs="?")
    given = parser.parse_args(arguments)

    def decide(now: records.Serving, told: Sequence[audit_log.Entry]) -> models_config.State:
        version = given.version if given.version is not None else now.live
        if version is None:
            raise ConfigError("pin: expected a live version, got none; push a model first.")
        return state.pin(now, version)

    return _change(given, "pin", decide)


def unpin(arguments: Sequence[str]) -> int:
    """Follows the newest version again."""
    parser = _changing("unpin", "Serves the newest version again, and every push from now on.")
    return _change(parser.parse_args(arguments), "unpin", lambda now, told: state.unpin(now))


def prune(arguments: Sequence[str]) -> int:
    """Removes old versions that nothing refers to."""
    parser = _changing("prune", "Removes versions that are neither live, labelled, listed, newest, nor in use by a server.")
    parser.add_argument("--keep", type=int, required=True, metavar="N", help="the newest N versions stay in any case")
    given = parser.parse_args(arguments)
    if not (given.server or given.no_wait or given.dry_run):
        raise ConfigError(
            "prune: expected --server of every model server, got none: one that could not load the newest version serves an"
            " older one, which only it can tell; name them, or give --no_wait if none runs."
        )
    with _one_line():
        remove_old(_release(given), given.keep)
    return 0


def status(arguments: Sequence[str]) -> int:
    """Shows what models.config says beside what servers really answer; 1 if they differ."""
    parser = _Parser("status", "Shows what models.config says, and what servers really answer.")
    parser.add_argument("--json", action="store_true", help="for machines")
    given = parser.parse_args(arguments)
    servers.check_addresses("--server", given.server)
    shown, differ = [], False
    with _one_line():
        for name in _names(given):
            now = layout.serving(given.root / name)
            wanted = expected(now, now)
            answers = [servers.ask(address, name, wanted.labels, given.ca_file) for address in given.server]
            differences = {answer.address: wanted.missing(answer) for answer in answers}
            disk = wording.on_disk(given.root, name, now)
            differ = differ or any(differences.values()) or bool(disk.problems)
            show = wording.as_json if given.json else wording.status
            shown.append(show(name, now, answers, differences, disk))
    print(json.dumps(shown, indent=2) if given.json else "\n\n".join(map(str, shown)))
    return int(differ)


def history(arguments: Sequence[str]) -> int:
    """Shows the log of pushes and releases, after checking that nobody altered it."""
    parser = _Parser("history", "Shows what was pushed, released and removed, when and by whom; checks the log.")
    parser.add_argument("--json", action="store_true", help="for machines: one JSON object per line, as in the log")
    given = parser.parse_args(arguments)
    with _one_line():
        names = _names(given)
        entries = [entry for entry in audit_log.read(given.root / records.FILE) if entry.facts.get("model") in names]
    print("\n".join(json.dumps(asdict(entry)) for entry in entries) if given.json else wording.history(entries))
    return 0


def _change(given: argparse.Namespace, command: str, decide: Decide) -> int:
    with _one_line():
        change(_release(given), command, decide)
    return 0


def _release(given: argparse.Namespace) -> Release:
    servers.check_addresses("--server", given.server)
    names = _names(given)
    if len(names) != 1:
        raise ConfigError(f"--model_name: expected the name of one model ({', '.join(names)}), got none; name it.")
    waited_for = () if given.no_wait else tuple(given.server)
    return Release(
        given.root,
        names[0],
        waited_for,
        given.ca_file,
        given.wait_seconds,
        given.lock_seconds,
        given.dry_run,
        say=functools.partial(print, flush=True),
    )


def _names(given: argparse.Namespace) -> list[str]:
    """The model that is meant, or all that are there."""
    if not given.root.is_dir():
        raise ConfigError(
            f"--root: expected a serving root, got {given.root}, which is no directory; name the one that is pushed to."
        )
    with_versions = {path.name for path in given.root.iterdir() if path.is_dir() and layout.versions(path)}
    known = sorted(with_versions | {name for name in models_config.states(given.root) if (given.root / name).is_dir()})
    if given.model_name is None and known:
        return known
    if given.model_name not in known:
        got = f"none in {given.root}" if given.model_name is None else repr(given.model_name)
        raise ConfigError(
            f"--model_name: expected a model with a pushed version ({', '.join(known) or 'there is none'}), got {got}."
        )
    return [given.model_name]


class _Parser(Parser):
    def __init__(self, command: str, description: str) -> None:
        super().__init__(
            prog=f"python -m serving {command}",
            description=description,
            allow_abbrev=False,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        self.add_argument("--root", type=Path, default=Path("serving/models"), help="serving root: {root}/{model}/{version}")
        self.add_argument("--model_name", help="of the model; may be left out if there is only one")
        self.add_argument(
            "--server",
            action="append",
            default=[],
            metavar="HOST:PORT",
            help="gRPC of a model server, with grpcs:// before it for TLS; may be repeated",
        )
        self.add_argument("--ca_file", help="PEM file of the authorities to trust for grpcs://")


def _changing(command: str, description: str) -> _Parser:
    parser = _Parser(command, description)
    parser.add_argument("--no_wait", action="store_true", help="write models.config at once and ask no server")
    parser.add_argument("--wait_seconds", type=_seconds, default=60.0, metavar="S", help="for the servers, per step")
    parser.add_argument("--lock_seconds", type=_seconds, default=30.0, metavar="S", help="for a push or another release to end")
    parser.add_argument("--dry_run", action="store_true", help="say what would change, and change nothing")
    return parser


def _version(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise argparse.ArgumentTypeError(f"expected a version, such as 1700000000, got {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 86400:
        raise argparse.ArgumentTypeError(f"expected seconds above 0, up to a day, got {text!r}")
    return seconds


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        raise ReleaseError(
            f"the serving root cannot be used: {error.strerror or error}{place}; look at the path and run again."
        ) from error
