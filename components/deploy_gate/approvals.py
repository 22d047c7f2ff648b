"""The file of approvals: who may put a refused model live, or holds an accepted one, why and until when.

    approvals:
      - action: force                  # a model that failed checks goes live
        model: 3f9a0c51d2e4            # at least 12 hex digits, the first ones of the model's digest in decision.json
        by: Ada Lovelace
        reason: latency limit was set for the old machines, see OPS-12
        expires: 2026-12-01T12:00:00+01:00
        checks: [serving/p99]          # force only, optional: no other failed check is overridden
      - action: hold                   # a model that passed does not
        model: any                     # or a digest, as above
        by: Grace Hopper
        reason: stocktaking
        expires: 2026-12-03T08:00:00Z

Nothing in it is guessed: a key that is not known, or there twice, an expiry without a time zone, or a short digest make the
whole file unusable. Whoever can write the file can override the gate, so let nobody else.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import yaml

from errors import ConfigError

FORCE, HOLD, ANY = "force", "hold", "any"
_KEYS = ("action", "model", "by", "reason", "expires")
_LARGEST = 1 << 20
_MOST_TEXT = 500
_DEEPEST = 8
_DIGEST = re.compile(r"[0-9a-f]{12,64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True)
class Approval:
    """One entry of the file.

    model: the first digits of a model's digest, or `any`. expires: in UTC. checks: ids of the failed checks that alone
    may be overridden; None: any that can be. file_sha256: of the file that it was read from.
    """

    action: str
    model: str
    by: str
    reason: str
    expires: datetime
    checks: tuple[str, ...] | None
    file_sha256: str

    def is_about(self, model_digest: str) -> bool:
        """Tells whether it is about the model with this digest."""
        return self.model == ANY or (bool(model_digest) and model_digest.startswith(self.model))

    def expired(self, now: datetime) -> bool:
        """Tells whether it holds no more; the moment it names is the first at which it does not."""
        return now >= self.expires


def load(path: str | os.PathLike[str]) -> list[Approval]:
    """Returns the approvals in a file, in their order.

    Raises:
      ConfigError: there is no such file, or something in it is not as described above.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(
            f"cannot read the approvals at {path}: {error.strerror}; write the file, or set no gate.approvals."
        ) from error
    if len(content) > _LARGEST:
        raise ConfigError(f"{path}: expected at most {_LARGEST:,} bytes of approvals, got more; remove what has expired.")
    tree = _parse(content, str(path))
    if tree is None:
        raise ConfigError(f"{path}: the file is empty; write `approvals: []` for none.")
    if not isinstance(tree, dict) or set(tree) != {"approvals"}:
        raise ConfigError(
            f"{path}: expected the one key 'approvals' with a list, got something else; 'approvals: []' for none."
        )
    entries = tree["approvals"]
    if not isinstance(entries, list):
        raise ConfigError(
            f"{path}: approvals: expected a list of approvals, got something else; begin each with '- action:', or write []."
        )
    sha256 = hashlib.sha256(content).hexdigest()
    return [_approval(entry, f"{path}: approvals[{number}]", sha256) for number, entry in enumerate(entries)]


class _Loader(yaml.BaseLoader):
    """Lists, mappings without duplicate keys, and text: a digest of nothing but digits is no number here, `no` no boolean."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuses aliases, with which a short file can mean an endless one, and what is nested deeper than an approval."""
        self.depth += 1
        if self.check_event(yaml.AliasEvent) or self.depth > _DEEPEST:
            raise yaml.composer.ComposerError(None, None, "an alias or too deep a nesting", self.peek_event().start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuses a key that is there twice."""
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key.value!r}", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _parse(content: bytes, where: str) -> Any:
    try:
        return yaml.load(content.decode("utf-8-sig"), _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{where}{line}: {error.problem or error.context}; mend the file.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"{where}: expected YAML in UTF-8, got something else ({type(error).__name__}); mend the file."
        ) from error


def _approval(entry: Any, where: str, sha256: str) -> Approval:
    if not isinstance(entry, dict):
        raise ConfigError(f"{where}: expected a mapping with keys {', '.join(_KEYS)}, got {_shown(entry)}.")
    action = _text(entry, "action", where)
    if action not in (FORCE, HOLD):
        raise ConfigError(f"{where}: action: expected {FORCE} or {HOLD}, got {_shown(action)}.")
    known = (*_KEYS, "checks") if action == FORCE else _KEYS
    if unknown := [key for key in entry if key not in known]:
        raise ConfigError(f"{where}: unknown key {_shown(unknown[0])} for {action}; known: {', '.join(known)}.")
    return Approval(
        action=action,
        model=_model(_text(entry, "model", where), action, where),
        by=_text(entry, "by", where),
        reason=_text(entry, "reason", where),
        expires=_time(_text(entry, "expires", where), where),
        checks=_checks(entry, where),
        file_sha256=sha256,
    )


def _text(entry: Mapping[Any, Any], key: str, where: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{where}: {key}: expected text, got {'nothing' if not value else _shown(value)}; fill it in.")
    if len(value) > _MOST_TEXT or not value.replace("\n", " ").isprintable():
        raise ConfigError(f"{where}: {key}: expected at most {_MOST_TEXT} printable characters, got others; shorten it.")
    return " ".join(value.split())


def _model(value: str, action: str, where: str) -> str:
    if _DIGEST.fullmatch(value) or (action == HOLD and value == ANY):
        return value
    also = f", or {ANY}" if action == HOLD else ""
    only = f" ({ANY} is only for {HOLD})" if value == ANY else ""
    raise ConfigError(f"{where}: model: expected 12 to 64 hex digits of the model's digest{also}, got {_shown(value)}{only}.")


def _time(value: str, where: str) -> datetime:
    try:
        if _TIME.fullmatch(value):
            return datetime.fromisoformat(value.replace("Z", "+00:00")).astimezone(timezone.utc)
    except (ValueError, OverflowError):  # the 30th of February; a time that in UTC is in no year from 1 to 9999
        pass
    raise ConfigError(
        f"{where}: expires: expected a time with its zone, such as 2026-12-01T12:00:00+01:00, got {_shown(value)}."
    )


def _checks(entry: Mapping[Any, Any], where: str) -> tuple[str, ...] | None:
    if "checks" not in entry:
        return None
    given = entry["checks"]
    if not isinstance(given, list) or not given or not all(isinstance(name, str) and name.strip() for name in given):
        raise ConfigError(f"{where}: checks: expected a list of check ids, such as [serving/p99], got {_shown(given)}.")
    return tuple(given)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
