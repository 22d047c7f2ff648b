"""{root}/models.config: which versions of each model are served, and under which labels.

A text ModelServerConfig that TensorFlow Serving reads with `--model_config_file`, and the only state of releases. A model
whose policy is `latest`, or that has no entry, follows: its newest complete version is served, so a push is live at once. One
with a list of versions is held: a push is on the disk, and served once it is released.

`base_path` and `logging_config` of an entry belong to whoever runs the servers: they are written once and then kept.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from errors import ConfigError
from lineage import locking
from lineage.digests import regular_file
from lineage.durable import sync_directory

FILE = "models.config"
LOCK = ".lock"
_PLATFORM = "tensorflow"
_MODE = 0o644
_HEADER = """\
# Which versions are served. Written by `python -m serving promote | canary | rollback | pin | ...` and by every first push of a
# model; comments are not kept. base_path and logging_config are yours to change; the rest is better changed by these commands,
# which wait until the servers answer and write to audit.jsonl.
"""


@dataclass(frozen=True)
class Following:
    """The newest complete versions are served: as many as `newest` says, None for all. Pushes of ours make it one."""

    newest: int | None = 1


@dataclass(frozen=True)
class Held:
    """These versions are served and no others.

    Attributes:
      versions: at least one, rising. The highest one that is complete answers requests that name no version.
      labels: name -> one of them.
    """

    versions: tuple[int, ...]
    labels: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "versions", tuple(sorted(set(self.versions))))
        if not self.versions:
            raise ValueError("expected at least one version, got none")
        for label, version in self.labels.items():
            if not label:
                raise ValueError("expected labels with a name, got an empty one")
            if version not in self.versions:
                listed = ", ".join(map(str, self.versions))
                raise ValueError(f"expected label {label!r} at a listed version ({listed}), got {version}")


State = Following | Held


def states(root: str | os.PathLike[str]) -> dict[str, State]:
    """Returns model -> what is served of it, for every entry; nothing if there is no file.

    Raises:
      ConfigError: the file cannot be read, or is none that this product could have written.
    """
    file = Path(root, FILE)
    entries = _read(file).model_config_list.config
    found: dict[str, State] = {}
    for entry in entries:
        if not entry.name or entry.name in found:
            raise _refused(file, "one entry with a name per model", f"{entry.name!r} again" if entry.name else "one without")
        try:
            found[entry.name] = _state(entry)
        except ValueError as error:
            raise _refused(file, f"of model {entry.name!r} what can be served", str(error)) from None
    return found


def state(root: str | os.PathLike[str], model_name: str) -> State:
    """Returns what is served of one model; see `states`."""
    return states(root).get(model_name, Following())


def base_path(root: str | os.PathLike[str], model_name: str) -> str | None:
    """Returns the folder that servers load a model's versions from, as it is written there; None if it has no entry.

    Raises:
      ConfigError: see `states`.
    """
    entries = _read(Path(root, FILE)).model_config_list.config
    return next((str(entry.base_path) for entry in entries if entry.name == model_name), None)


def ensure(root: str | os.PathLike[str], model_name: str) -> None:
    """Makes the entry of a model that has none; it follows. The caller holds no lock of the root."""
    if model_name in states(root):
        return
    with locked(root):
        if model_name not in states(root):
            put(root, model_name, Following())


def put(root: str | os.PathLike[str], model_name: str, wanted: State) -> None:
    """Writes what is to be served of one model, atomically, and keeps all else. The caller holds the root's lock.

    Raises:
      ConfigError: see `states`.
      OSError: the file cannot be written; it is as it was then.
    """
    states(root)  # refuses what could not be kept
    file = Path(root, FILE)
    config = _read(file)
    entries = config.model_config_list.config
    entry = next((entry for entry in entries if entry.name == model_name), None) or _new(entries, file.parent, model_name)
    _fill(entry, wanted)
    _replace(file, _HEADER + _text_format().MessageToString(config))


@contextmanager
def locked(
    folder: str | os.PathLike[str], seconds: float = locking.SECONDS, said: locking.Said | None = None
) -> Iterator[None]:
    """Waits for, then holds, a folder's lock: of the root, or of a model in it. Who needs both takes the model's first.

    Raises:
      BusyError: another process holds it for longer than `seconds`; see `lineage.locking`.
    """
    with locking.locked(Path(folder, LOCK), seconds, said):
        yield


def _state(entry: Any) -> State:
    policy = entry.model_version_policy
    if policy.WhichOneof("choice") == "specific":
        return Held(tuple(policy.specific.versions), dict(entry.version_labels))
    if entry.version_labels:
        labels = ", ".join(sorted(entry.version_labels))
        raise ValueError(f"expected labels only with a policy `specific` that lists their versions, got {labels} without")
    return Following(None if policy.WhichOneof("choice") == "all" else max(1, policy.latest.num_versions))


def _new(entries: Any, root: Path, model_name: str) -> Any:
    return entries.add(name=model_name, base_path=os.path.abspath(root / model_name), model_platform=_PLATFORM)


def _fill(entry: Any, wanted: State) -> None:
    """Sets policy and labels."""
    policy = entry.model_version_policy
    entry.version_labels.clear()
    if isinstance(wanted, Held):
        policy.specific.versions[:] = wanted.versions
        entry.version_labels.update(wanted.labels)
    elif wanted.newest is None:
        policy.all.SetInParent()
    else:
        policy.latest.num_versions = wanted.newest


def _read(file: Path) -> Any:
    from serving import protocol

    config = protocol.message("tensorflow.serving.ModelServerConfig")()
    try:
        with regular_file(file) as content:
            _text_format().Parse(content.read().decode(), config)
    except FileNotFoundError:
        return config
    except OSError as error:
        raise _refused(file, "a file that can be read", str(error.strerror)) from None
    except (_text_format().ParseError, UnicodeDecodeError) as error:
        raise _refused(file, "a ModelServerConfig as text", " ".join(str(error).split())) from None
    except ValueError:
        got = "a symbolic link" if file.is_symlink() else "another kind"
        raise _refused(file, "a file that can be read", got) from None
    if config.WhichOneof("choice") == "custom_model_config":
        raise _refused(file, "a model_config_list", "a custom_model_config")
    return config


def _refused(file: Path, expected: str, got: str) -> ConfigError:
    return ConfigError(
        f"{file}: expected {expected}, got {got}; mend it by hand, or move it away: the next push"
        " writes one by which every model follows its newest version."
    )


def _text_format() -> Any:
    from google.protobuf import text_format

    return text_format


def _replace(file: Path, text: str) -> None:
    for leftover in file.parent.glob(f".{FILE}-*"):  # of processes that were killed: we hold the lock
        leftover.unlink()
    temporary = file.with_name(f".{FILE}-{secrets.token_hex(4)}")
    if file.is_symlink():
        raise _refused(file, "a file", "a symbolic link")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE), "w", encoding="utf-8") as new:
            os.fchmod(new.fileno(), _MODE)  # whatever the umask: servers run as other users
            new.write(text)
            new.flush()
            os.fsync(new.fileno())
        os.rename(temporary, file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(file.parent)
