"""Strict YAML into frozen dataclasses, whatever they describe.

A `Section` is a frozen dataclass whose fields are annotated with a check, `rounds: Annotated[int, whole(1)]`; constructing one
runs every check, so no instance holds nonsense. `read`, `put` and `build` take a file to a section. Every failure is a
`ConfigError` of one line that names the key in dotted form, what was given and what is allowed.
"""

import dataclasses
import difflib
import inspect
import math
import os
import re
import typing
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml

from errors import ConfigError

Check = Callable[[str, Any], Any]
"""Takes a dotted key and the value given for it; returns the value to store, or raises ConfigError."""

S = TypeVar("S", bound="Section")

REQUIRED = inspect.Parameter.empty
"""Stands for the default of a key that has none."""


@dataclasses.dataclass(frozen=True)
class Section:
    """Base of the frozen dataclasses that make up a config; `SECTION` is the dotted key under which one stands."""

    SECTION: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for name, check in _checks(type(self)).items():
            self._set(name, check(dotted(self.SECTION, name), getattr(self, name)))
        self.validate()

    def validate(self) -> None:
        """Raises ConfigError where fields that are right by themselves do not go together."""

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)  # the way round `frozen`, for use at construction only

    def _keep_used(self, by: str, options: Mapping[str, Mapping[str, Any]], remedy: str = "") -> None:
        """Fills in the defaults of the keys that a choice uses; what it does not use must be None.

        Args:
          by: the key that holds the choice.
          options: choice -> the keys it uses -> their defaults, or REQUIRED.
          remedy: added to the error for a key that is not used.

        Raises:
          ConfigError: a key is given that the choice does not use, or one that it requires is not.
        """
        chosen = getattr(self, by)
        used = options[chosen]
        for name in dict.fromkeys(name for option in options.values() for name in option):
            given = getattr(self, name)
            if given is None and used.get(name) is REQUIRED:
                raise ConfigError(f"{dotted(self.SECTION, name)}: required by {by} {chosen!r}")
            if given is None:
                self._set(name, used.get(name))
            elif name not in used:
                users = ", ".join(option for option, names in options.items() if name in names)
                raise ConfigError(
                    f"{dotted(self.SECTION, name)}: not used by {by} {chosen!r}, only by {users}; got {shown(given)}{remedy}"
                )

    def _used_with(self, condition: str, holds: bool, **defaults: Any) -> None:
        """Fills in defaults of keys that are used under a condition, and refuses them where it does not hold."""
        for name, default in defaults.items():
            given = getattr(self, name)
            if not holds and given is not None:
                raise ConfigError(f"{dotted(self.SECTION, name)}: used only with {condition}; got {shown(given)}")
            if holds and given is None:
                self._set(name, default)


def _hints(section: type[Section]) -> dict[str, Any]:
    hints = typing.get_type_hints(section, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(section)}


def _checks(section: type[Section]) -> dict[str, Check]:
    return {name: hint.__metadata__[0] for name, hint in _hints(section).items() if hasattr(hint, "__metadata__")}


# Checks


def whole(low: int, high: int | None = None) -> Check:
    """Allows a whole number from `low` to `high` (both included; no upper end by default)."""
    allowed = f"a whole number of at least {low}" if high is None else f"a whole number from {low} to {high}"

    def check(key: str, value: Any) -> int:
        if type(value) is not int or value < low or (high is not None and value > high):
            raise wrong(key, allowed, value)
        return value

    return check


def number(above: float = -math.inf, *, least: float = -math.inf, below: float = math.inf, most: float = math.inf) -> Check:
    """Allows a finite number above `above`, of at least `least`, and so on; whole numbers become floats."""
    ends = {"above": above, "of at least": least, "below": below, "of at most": most}
    named = " and ".join(f"{end} {value:g}" for end, value in ends.items() if math.isfinite(value))
    allowed = f"a finite number {named}".strip()

    def check(key: str, value: Any) -> float:
        if type(value) not in (int, float):
            raise wrong(key, allowed, value)
        try:
            result = float(value)
        except OverflowError:
            raise wrong(key, allowed, value) from None
        if not (math.isfinite(result) and above < result < below and least <= result <= most):
            raise wrong(key, allowed, value)
        return result

    return check


def flag() -> Check:
    """Allows true or false."""

    def check(key: str, value: Any) -> bool:
        if not isinstance(value, bool):
            raise wrong(key, "true or false", value)
        return value

    return check


def text(pattern: str = r"(?s).*\S.*", allowed: str = "text that is not empty") -> Check:
    """Allows a string that matches the whole of `pattern`; `allowed` says in words what that is."""

    def check(key: str, value: Any) -> str:
        if not isinstance(value, str):
            raise wrong(key, f"{allowed} (in quotes, if YAML takes it for something else)", value)
        if not re.fullmatch(pattern, value):
            raise wrong(key, allowed, value)
        return value

    return check


def one_of(*names: str) -> Check:
    """Allows one of `names`."""

    def check(key: str, value: Any) -> str:
        if value not in names:
            expected = f"one of {', '.join(names)}" if len(names) > 1 else names[0]
            raise ConfigError(f"{wrong(key, expected, value)}{guess(value, names)}")
        return value

    return check


def optional(check: Check) -> Check:
    """Allows None beside what `check` allows."""
    return lambda key, value: None if value is None else check(key, value)


def items_of(check: Check, allowed: str) -> Check:
    """Allows a list whose items `check` allows and of which no two are equal; it becomes a tuple."""

    def check_all(key: str, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise wrong(key, allowed, value)
        items = tuple(check(key, item) for item in value)
        for item in items:
            if items.count(item) > 1:
                raise wrong(key, "each item once", value)
        return items

    return check_all


def wrong(key: str, expected: str, value: object) -> ConfigError:
    """Returns the error for a value that is not what its key allows."""
    return ConfigError(f"{key}: expected {expected}, got {shown(value)}")


def shown(value: object) -> str:
    """Returns a value as an error message shows it: as YAML spells it, on one line, at most 80 characters."""
    if isinstance(value, Section):
        value = {key: inner for key, inner in dataclasses.asdict(value).items() if inner is not None}
    spelled = {None: "null", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else repr(value)
    return spelled if len(spelled) <= 80 else f"{spelled[:77]}..."


def guess(given: object, known: Collection[str]) -> str:
    """Returns "; did you mean 'x'?" for the closest of `known`, or nothing. Case and separators do not count."""
    plain = {re.sub(r"[\W_]", "", name).lower(): name for name in known}
    close = difflib.get_close_matches(re.sub(r"[\W_]", "", str(given)).lower(), plain, n=1)
    return f"; did you mean {plain[close[0]]!r}?" if close else ""


def dotted(section: str, key: object) -> str:
    """Returns a key with the section it stands in: `train.rounds`."""
    return f"{section}.{key}" if section else str(key)


# From a mapping to a section


def only_known(section: str, given: object, known: Collection[str]) -> dict[str, Any]:
    """Returns `given` as a dict, once it is sure that it is a mapping and that all its keys are among `known`."""
    if not isinstance(given, Mapping):
        raise wrong(section or "the config", f"a mapping with keys out of {', '.join(known)}", given)
    for key in given:
        if key not in known:
            hint = guess(key, known) or ";"
            raise ConfigError(f"unknown key {dotted(section, key)!r}{hint} known: {', '.join(known)}")
    return dict(given)


def build(section: type[S], given: object) -> S:
    """Returns a section made from a mapping, its sub-sections made from the mappings inside it.

    A sub-section that is there but empty (all its lines commented out) counts as one without keys, or as none where there need
    not be one.

    Raises:
      ConfigError: a key is unknown or missing, or a check refuses a value.
    """
    hints = _hints(section)
    values = only_known(section.SECTION, given, hints)
    for field in dataclasses.fields(section):
        required = field.default is field.default_factory is dataclasses.MISSING
        if required and field.name not in values:
            raise ConfigError(f"missing key {dotted(section.SECTION, field.name)!r}; it has no default")
    for name, value in values.items():
        inner = section_in(hints[name])
        if inner is not None and not (value is None and inner is not hints[name]):
            values[name] = build(inner, {} if value is None else value)
    return section(**values)


def section_in(hint: Any) -> type[Section] | None:
    """Returns the section in a field's type, which is the section itself or `Section | None`; None if there is none in it."""
    candidates = [hint, *typing.get_args(hint)]
    return next((each for each in candidates if isinstance(each, type) and issubclass(each, Section)), None)


# From a file to a mapping


class _Loader(yaml.SafeLoader):
    """YAML's safe subset without duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key.value!r}", key.start_mark)
            seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Writes what `_Loader` reads."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    # Unicode's own line breaks survive only where they are escaped, in double quotes.
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", value, style='"' if re.search("[\x85\u2028\u2029]", value) else None
    )


_Dumper.add_representer(str, _represent_text)

# PyYAML follows YAML 1.1, where 1e-3 is text for want of a dot. Both classes must know, or text like '1e5' loses its quotes.
for _resolver in (_Loader, _Dumper):
    _resolver.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
    )


def parse(source: str, where: str) -> Any:
    """Returns the value of a YAML text; `where` names the text in errors, to which the line number is added."""
    try:
        return yaml.load(source, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{where}{line}: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError) as error:  # control characters; dates that do not exist
        raise ConfigError(f"{where}: not valid YAML: {str(error).splitlines()[0]}") from error
    except RecursionError:
        raise ConfigError(f"{where}: nested too deeply; expected keys and values a few levels deep") from None


def dump(tree: Mapping[str, Any]) -> str:
    """Returns a tree of plain values as YAML text that `parse` reads back equal, keys in their order."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns the mapping in a YAML file.

    Raises:
      ConfigError: no such file, or it is not UTF-8 text, not YAML, empty, or not a mapping.
    """
    file = Path(path)
    try:
        source = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"no config file at {file}; expected a YAML file") from None
    except IsADirectoryError:
        raise ConfigError(f"{file} is a directory; expected the config file itself, such as {file / 'config.yaml'}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: expected YAML in UTF-8, got bytes that are not text") from None
    except OSError as error:
        raise ConfigError(f"cannot read the config file {file}: {error.strerror}") from error
    tree = parse(source, str(file))
    if tree is None:
        raise ConfigError(f"{file} is empty; expected a mapping of keys to values")
    if not isinstance(tree, dict):
        raise ConfigError(f"{file}: expected a mapping of keys to values, got {shown(tree)}")
    return tree


# Overrides


def parse_override(override: str) -> tuple[list[str], Any]:
    """Returns the keys and the value of `train.rounds=5`; the value is read as YAML, and nothing means null."""
    key, equals, value = override.partition("=")
    keys = key.strip().split(".")
    if not equals or not all(keys):
        raise ConfigError(f"override {override!r}: expected key=value, such as train.rounds=5")
    return keys, parse(value, f"override {override!r}")


def put(tree: Mapping[str, Any], keys: list[str], value: object, at: str = "") -> dict[str, Any]:
    """Returns `tree`, which stands at the dotted key `at`, with `value` at the place that `keys` leads to.

    Mappings on the way are copied, or made where there is none.

    Raises:
      ConfigError: something on the way is neither a mapping nor null.
    """
    head, *rest = keys
    if rest:
        at = dotted(at, head)
        inner = {} if tree.get(head) is None else tree[head]
        if not isinstance(inner, Mapping):
            raise ConfigError(f"cannot set {dotted(at, '.'.join(rest))!r}: expected a mapping at {at!r}, got {shown(inner)}")
        value = put(inner, rest, value, at)
    return {**tree, head: value}
