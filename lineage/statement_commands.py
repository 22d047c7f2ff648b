"""`python -m lineage keygen` and `statement show | verify`: offline, from files alone.

Exit codes: 0 made, shown or verified; 10 not verified; 2 bad usage or key; 1 a file cannot be read.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errors import ConfigError, IntegrityError
from lineage import signing
from lineage import statement as said_of
from lineage.command_line import Parser
from lineage.digests import tree_digest
from serving import statements

NOT_VERIFIED = 10
_SAMPLE = "serving/models/digits/1795204062"


@dataclass(frozen=True)
class _Named:
    """What a command line names: the statement's file, the version's directory, and `{model}/{version}`."""

    file: Path
    tree: Path
    name: str


def keygen(arguments: Sequence[str]) -> int:
    """Makes a pair of keys."""
    parser = _parser(
        "keygen",
        "Makes a pair of ed25519 keys for statements about pushed models.",
        "python -m lineage keygen --out ~/.fedtfx",
        "python local_runner.py --config examples/digits/config.yaml --signing-key ~/.fedtfx/key.pem",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for key.pem and public.pem; made if it is missing")
    given = parser.parse_args(arguments)
    folder = Path(given.out).expanduser()
    public = signing.make(folder)
    print(f"private  {folder / signing.KEY_FILE}   only you can read it; keep it so")
    print(f"public   {folder / signing.PUBLIC_FILE}   keep a copy where those who check models find it, not beside the models")
    print(f"key id   {public.key_id}")
    return 0


def statement(arguments: Sequence[str]) -> int:
    """Shows or verifies the statement about a version."""
    parser = _parser(
        "statement",
        "The signed statement about a pushed model: where it came from.",
        f"python -m lineage statement show {_SAMPLE}",
        f"python -m lineage statement verify {_SAMPLE} --public-key public.pem",
        f"python -m lineage statement verify {_SAMPLE}.intoto.jsonl --public-key public.pem --tree copy/of/the/version --json",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="show | verify")
    for command, what in (
        ("show", "what it says, whoever signed it"),
        ("verify", "whether it was signed, and about these files"),
    ):
        sub = commands.add_parser(command, help=what, description=what[0].upper() + what[1:] + ".")
        sub.add_argument("version", metavar="VERSION_DIR|FILE", help="a version's directory, or the statement beside it")
        sub.add_argument("--json", action="store_true", help="for machines")
        if command == "verify":
            sub.add_argument("--public-key", required=True, metavar="FILE", help="of whom you trust to have signed it")
            sub.add_argument("--tree", metavar="DIR", help="the version's files, if they are elsewhere")
            sub.add_argument("--name", metavar="MODEL/VERSION", help="what it must be about, if the folders were renamed")
    given = parser.parse_args(arguments)
    return _show(given) if given.command == "show" else _verify(given)


def _parser(command: str, what: str, *examples: str) -> Parser:
    return Parser(
        prog=f"python -m lineage {command}",
        description=what,
        epilog="examples:\n" + "\n".join(f"  {example}" for example in examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _show(given: argparse.Namespace) -> int:
    named = _named(given.version)
    try:
        said, key_id = said_of.unproven(_read(named.file))
    except signing.BadEnvelope as problem:
        raise IntegrityError(f"{named.file}: {problem}; push the model again for a new one.") from None
    if given.json:
        print(json.dumps({"file": str(named.file), "key_id": key_id, "statement": said}, indent=2))
        return 0
    print(f"{named.file}\nsays that key {key_id} signed it; `statement verify` tells whether that is so\n")
    print("\n".join(_lines(said)))
    return 0


def _verify(given: argparse.Namespace) -> int:
    key = signing.load_public(given.public_key)
    named = _named(given.version)
    tree, name = Path(given.tree or named.tree), given.name or named.name
    digest, problem = _digest(tree)
    try:
        checked = said_of.check(_read(named.file), key, digest or None, name=name)
    except IntegrityError as missing:
        checked = said_of.Checked(str(missing), None, key.key_id)
    problem = checked.problem or problem
    if given.json:
        facts = {"file": str(named.file), "tree": str(tree), "tree_digest": digest, "name": name, "key_id": key.key_id}
        print(json.dumps({"verified": not problem, "problem": problem, **facts, "statement": checked.statement}, indent=2))
    elif problem:
        print(f"NOT VERIFIED  {name}: {problem}{_hint(problem, name)}")
    else:
        print(f"verified  {name} is what key {key.key_id} signed\n          tree digest {digest} of {tree}")
    return NOT_VERIFIED if problem else 0


def _hint(problem: str, name: str) -> str:
    """What may have happened without harm."""
    renamed = problem.startswith(f"expected a statement about {name}, got")
    return "; if only the folder was renamed, give --name" if renamed else ""


def _named(text: str) -> _Named:
    given = Path(text)
    if given.name.endswith(statements.SUFFIX) and not given.is_dir():
        _there(text, given)
        tree = given.absolute().with_name(given.name.removesuffix(statements.SUFFIX))
        return _Named(given, tree, f"{tree.parent.name}/{tree.name}")
    tree = given.resolve()
    if not (tree.name.isascii() and tree.name.isdecimal()):
        raise ConfigError(
            f"expected a version's directory or a file *{statements.SUFFIX}, got {text}; name one such as {_SAMPLE}."
        )
    file = statements.path(tree.parent, int(tree.name))
    _there(text, tree, file)
    return _Named(file, tree, f"{tree.parent.name}/{tree.name}")


def _there(text: str, *paths: Path) -> None:
    """A statement that is gone from beside its version is not verified; a path to nothing is a mistake."""
    if not any(path.exists() for path in paths):
        raise ConfigError(
            f"expected a version's directory or a file *{statements.SUFFIX}, got {text}, where nothing is; name its path, such"
            f" as {_SAMPLE}: this command knows no serving root."
        )


def _read(file: Path) -> bytes:
    try:
        return signing.read(file)[0]
    except OSError as error:
        raise IntegrityError(
            f"{file}: expected a signed statement, got {error.strerror}; a push with --signing-key, or with the key of the"
            " pipeline root, writes one."
        ) from None


def _digest(tree: Path) -> tuple[str, str]:
    """The tree digest of a version, or why it has none."""
    try:
        return tree_digest(tree), ""
    except FileNotFoundError:
        return "", f"expected the version's files at {tree}, got none; give --tree"
    except (OSError, ValueError) as error:
        return "", f"expected files that can be read, got: {' '.join(str(error).split())}"


def _lines(said: Mapping[str, Any]) -> Iterator[str]:
    name, digest = said_of.about(said)
    predicate = said["predicate"]
    build, run = predicate["buildDefinition"], predicate.get("runDetails", {})
    metadata = run.get("metadata", {})
    yield from _section("about", {"model and version": name, "tree digest": digest})
    yield from _section("asked for", build.get("externalParameters", {}))
    yield from _section("made by", {"run": metadata.get("invocationId"), "pushed": metadata.get("finishedOn")})
    yield from _section("how", build.get("internalParameters", {}))
    yield from _section("model", predicate.get(said_of.MODEL_FACTS, {}))
    for title, resources in (("from", build.get("resolvedDependencies", [])), ("with", run.get("byproducts", []))):
        yield from _section(title, {each.get("name"): _resource(each) for each in resources})
    yield from _section("stack", run.get("builder", {}).get("version", {}))


def _section(title: str, facts: Mapping[str, Any]) -> Iterator[str]:
    yield title
    for name, value in facts.items():
        if isinstance(value, Mapping):
            value = ", ".join(f"{key} {each}" for key, each in value.items()) or "not recorded"
        # Who signs may write what he likes: nothing of it reaches the terminal as a command.
        yield "".join(letter if letter.isprintable() else "?" for letter in f"  {name:<22} {value}")


def _resource(each: Mapping[str, Any]) -> str:
    digests = [f"{algorithm} {value}" for algorithm, value in each.get("digest", {}).items()]
    notes = [f"{name} {value}" for name, value in each.get("annotations", {}).items()]
    return ", ".join([*digests, *notes])
