"""What a run computes: the config as frozen dataclasses, and how it is read from strict YAML.

    config = load("examples/digits/config.yaml", ["train.rounds=5"])

Where it runs is not here but in an Environment, so a config file works on any machine. No instance with a wrong value can be
made; the error names the key, what was given and what is allowed.
"""

import dataclasses
import functools
import hashlib
import json
import keyword
import operator
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar

from errors import ConfigError
from pipeline.gate_config import GateConfig
from pipeline.model_card_config import ModelCardConfig
from pipeline.split_config import SplitConfig
from pipeline.strict_yaml import (
    Section,
    build,
    dotted,
    dump,
    number,
    one_of,
    only_known,
    optional,
    parse_override,
    put,
    read,
    text,
    whole,
    wrong,
)
from pipeline.train_config import TrainConfig

FORMATS = ("csv", "tfrecord", "parquet", "idx", "digits")
_PATHS = {"data": ("path", "schema"), "gate": ("approvals",)}
"""Section -> its keys that name files."""

Count = Annotated[int, whole(1)]
Rate = Annotated[float, number(above=0)]
Text = Annotated[str | None, optional(text())]


def _module(key: str, value: object) -> str:
    allowed = "the dotted import path of a model module, such as examples.digits.digits_model"
    path = text(r"[^\W\d]\w*(\.[^\W\d]\w*)*", allowed)(key, value)
    if path.endswith(".py") or any(map(keyword.iskeyword, path.split("."))):
        raise wrong(key, allowed, value)
    return path


def _splits(key: str, value: object) -> dict[str, int | str]:
    given = only_known(key, value, ("train", "eval"))
    if len(given) != 2:
        raise wrong(key, "both train and eval", value)
    if all(isinstance(part, str) for part in given.values()):
        patterns: dict[str, int | str] = {name: _pattern(dotted(key, name), part) for name, part in given.items()}
        if patterns["train"] == patterns["eval"]:
            raise ConfigError(f"{key}: train and eval are the same files; give each its own pattern")
        return patterns
    if any(isinstance(part, str) for part in given.values()):
        raise wrong(key, "two whole numbers (shares) or two file patterns, not one of each", value)
    return {name: whole(1)(dotted(key, name), part) for name, part in given.items()}


def _pattern(key: str, value: str) -> str:
    path = PurePosixPath(value)
    if not value.strip() or path.is_absolute() or ".." in path.parts:
        raise wrong(key, "a file pattern relative to data.path, without '..'", value)
    return value


@dataclass(frozen=True)
class DataConfig(Section):
    """Which examples. `splits` holds either shares of a seeded hash, or file patterns relative to `path` for given splits."""

    SECTION: ClassVar[str] = "data"
    format: Annotated[str, one_of(*FORMATS)]
    path: Text = None
    """A folder, or the files themselves (wildcards in the name); the format `digits` brings its own examples."""
    splits: Annotated[Mapping[str, int | str], _splits] = field(default_factory=lambda: {"train": 4, "eval": 1})
    schema: Text = None
    """A curated schema in protobuf text form; None: inferred from the training split."""

    def validate(self) -> None:
        if self.format != "digits" and self.path is None:
            raise ConfigError(
                f"data.path: required by format {self.format!r}; give the folder that holds the files, or the files"
            )
        if self.format == "digits" and self.path is not None:
            raise ConfigError(f"data.path: not used by format 'digits', which brings its own examples; got {self.path!r}")
        if self.format == "digits" and isinstance(self.splits["train"], str):
            raise ConfigError("data.splits: format 'digits' has no files to match; give shares, such as {train: 4, eval: 1}")


@dataclass(frozen=True)
class BaselineConfig(Section):
    """The centralised training: what the federated one is compared with, may begin with, or is replaced by."""

    SECTION: ClassVar[str] = "baseline"
    epochs: Count = 10
    batch_size: Count = 32
    learning_rate: Rate = 0.001
    stop_at: Annotated[float | None, optional(number(above=0, most=1))] = None
    """Stops as soon as the module's first metric reaches this on a tenth held out of the train split; None: never."""


@dataclass(frozen=True, kw_only=True)
class PipelineConfig(Section):
    """All that a run computes."""

    name: Annotated[str, text(r"[a-z0-9][a-z0-9-]{0,62}", "1 to 63 of a-z, 0-9 and -, not - at first")]
    model: Annotated[str, _module]
    data: DataConfig
    split: SplitConfig | None = None
    """None only where nothing is federated."""
    train: TrainConfig
    gate: GateConfig = field(default_factory=GateConfig)
    baseline: BaselineConfig = field(default_factory=BaselineConfig)
    model_card: ModelCardConfig | None = None
    """None: the card says nothing of what the model is for."""
    seed: Annotated[int, whole(0, 2**31 - 1)] = 42

    def validate(self) -> None:
        if self.name == "logs":  # artifacts lie in `{root}/{name}`, and logs in `{root}/logs`
            raise wrong("name", "another name than that of the folder of logs", self.name)
        if self.split is not None:
            self._check_training_against(self.split)
        elif self.train.federated:
            raise ConfigError("missing key 'split'; it has no default, and only train.mode 'centralised' does without")
        self.gate.check_against(self.train, self.split)
        if self.evaluates_clients:
            self._set("gate", self.gate.with_clients())

    @property
    def evaluates_clients(self) -> bool:
        """Whether clients have examples that the model is not trained on, so that FederatedEvaluator has something to do."""
        return self.train.federated and self.split is not None and bool(self.split.holdout or self.split.holdout_clients)

    def _check_training_against(self, split: SplitConfig) -> None:
        known, held_out = split.known_clients(), split.holdout_clients
        if known is not None:
            where, most = known
            if isinstance(held_out, int) and held_out > 0:
                where, most = f"{where} less split.holdout_clients", most - held_out
            self.train.check_population(where, most)
        if self.train.evaluation and self.train.evaluation.every and not (split.holdout or held_out):
            raise ConfigError(
                "train.evaluation.every: nothing is held out to evaluate on; set split.holdout or holdout_clients"
            )


def from_dict(tree: Mapping[str, Any]) -> PipelineConfig:
    """Returns the config that a mapping spells, keys as in the YAML file; paths are taken as they are.

    Raises:
      ConfigError: a key is unknown or missing, or its value is not allowed.
    """
    return build(PipelineConfig, tree)


def load(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> PipelineConfig:
    """Returns the config in a YAML file, changed by overrides such as `train.rounds=5` (values are YAML).

    `data.path`, `data.schema` and `gate.approvals` become absolute: from the file's directory where the file gives them, from
    the working directory where an override does.

    Raises:
      ConfigError: the file cannot be read or is not YAML, or a key or value is wrong.
    """
    tree = _absolute(read(path), Path(path).absolute().parent)
    for override in overrides:
        keys, value = parse_override(override)
        value = functools.reduce(operator.getitem, keys, _absolute(put({}, keys, value), Path.cwd()))
        tree = put(tree, keys, value)
    return from_dict(tree)


def _absolute(tree: dict[str, Any], base: Path) -> dict[str, Any]:
    for section, keys in _PATHS.items():
        given = tree.get(section)
        if isinstance(given, dict):
            paths = {key: _joined(base, given[key]) for key in keys if isinstance(given.get(key), str)}
            tree = {**tree, section: {**given, **paths}}
    return tree


class _Located(str):
    """A path made absolute that remembers how it was written, because a digest must not tell where a checkout lies."""

    written: str


def _joined(base: Path, path: str) -> str:
    if not path.strip() or "://" in path:  # nothing to join; a bucket
        return path
    located = _Located(os.path.normpath(base / os.path.expanduser(path)))
    located.written = path
    return located


def as_dict(config: PipelineConfig) -> dict[str, Any]:
    """Returns the config as plain values, defaults filled in and what is None left out; `from_dict` gives an equal one."""
    return _plain(dataclasses.asdict(config), str)


def _plain(value: Any, located: Callable[[_Located], str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner, located) for key, inner in value.items() if inner is not None}
    if isinstance(value, _Located):
        return located(value)
    return [_plain(inner, located) for inner in value] if isinstance(value, tuple) else value


def resolved(config: PipelineConfig) -> str:
    """Returns the config as YAML text with every default filled in; loading that text gives an equal config."""
    return dump(as_dict(config))


def digest(config: PipelineConfig) -> str:
    """Returns the hex sha256 of the config as canonical JSON: sorted keys, no spaces.

    Paths count as they were written, so that a checkout has the same digest wherever it lies.
    """
    written = _plain(dataclasses.asdict(config), operator.attrgetter("written"))
    canonical = json.dumps(written, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
