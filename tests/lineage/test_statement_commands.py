"""`keygen` and `statement`: from files alone, and what an exit code of 0 means."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from errors import ConfigError, IntegrityError
from lineage import signing, statement, statement_commands
from lineage.digests import tree_digest
from lineage.statement import Origin

ROOT = Path(signing.__file__).parents[1]


@pytest.fixture
def public(tmp_path, capsys):
    assert statement_commands.keygen(["--out", str(tmp_path / "keys")]) == 0
    assert signing.load_public(tmp_path / "keys" / "public.pem").key_id in capsys.readouterr().out
    return str(tmp_path / "keys" / "public.pem")


@pytest.fixture
def version(tmp_path, public):
    """A version with the statement beside it."""
    made = tmp_path / "models" / "digits" / "17"
    (made / "variables").mkdir(parents=True)
    (made / "saved_model.pb").write_text("graph")
    (made / "variables" / "variables.index").write_text("index")
    write(made)
    return made


def write(version: Path) -> None:
    key = signing.load_private(version.parents[2] / "keys" / "key.pem")
    origin = Origin(external={"pipeline": "digits"}, run="run-1", model={"epsilon": 2.5})
    payload = statement.build(f"{version.parent.name}/{version.name}", tree_digest(version), origin)
    version.with_name(f"{version.name}.intoto.jsonl").write_bytes(signing.seal(payload, key))


def verify(*arguments: object) -> int:
    return statement_commands.statement(["verify", *map(str, arguments)])


def test_version_and_its_statement_verify_each_other(version, public, capsys):
    assert verify(version, "--public-key", public) == 0
    assert "verified  digits/17 is what key" in capsys.readouterr().out
    assert verify(f"{version}.intoto.jsonl", "--public-key", public) == 0


def test_any_flipped_byte_of_the_served_tree_is_found(version, public, capsys):
    for file in (path for path in version.rglob("*") if path.is_file()):
        kept = file.read_bytes()
        for position in range(len(kept)):
            file.write_bytes(kept[:position] + bytes([kept[position] ^ 1]) + kept[position + 1 :])
            assert verify(version, "--public-key", public) == 10
        file.write_bytes(kept)
    assert verify(version, "--public-key", public) == 0
    assert capsys.readouterr().out.count("NOT VERIFIED  digits/17: expected files with tree digest") == 10


def added(version):
    (version / "assets.extra").write_text("more")


def renamed(version):
    (version / "saved_model.pb").rename(version / "saved_model.pbtxt")


def linked(version):
    (version / "link").symlink_to("/etc/passwd")


def gone(version):
    shutil.rmtree(version)


def unstated(version):
    version.with_name("17.intoto.jsonl").unlink()


def stated_of_another(version):
    other = version.with_name("18")
    shutil.copytree(version, other)
    write(other)
    version.with_name("18.intoto.jsonl").replace(version.with_name("17.intoto.jsonl"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (added, "got others"),
        (renamed, "got others"),
        (linked, "symbolic link"),
        (gone, "got none; give --tree"),
        (unstated, "expected a signed statement, got No such file"),
        (stated_of_another, "expected a statement about digits/17, got one about 'digits/18'"),
    ],
)
def test_what_does_not_fit_together_is_not_verified(version, public, change, said, capsys):
    change(version)
    assert verify(version, "--public-key", public, "--json") == 10
    told = json.loads(capsys.readouterr().out)
    assert told["verified"] is False and said in told["problem"]


def test_another_public_key_verifies_nothing(version, tmp_path, capsys):
    statement_commands.keygen(["--out", str(tmp_path / "other")])
    assert verify(version, "--public-key", tmp_path / "other" / "public.pem") == 10
    assert "expected the signature of key" in capsys.readouterr().out


def test_copy_elsewhere_is_verified_if_it_is_said_where_and_what_it_is(version, public, tmp_path):
    copy = tmp_path / "audit" / "copied"
    shutil.copytree(version, copy)
    assert verify(f"{version}.intoto.jsonl", "--public-key", public, "--tree", copy) == 0
    shutil.copytree(version.parent, tmp_path / "audit" / "renamed")
    moved = tmp_path / "audit" / "renamed" / "17"
    assert verify(moved, "--public-key", public) == 10
    assert verify(moved, "--public-key", public, "--name", "digits/17") == 0


def test_shown_statement_is_for_people_and_for_machines(version, capsys):
    assert statement_commands.statement(["show", str(version)]) == 0
    shown = capsys.readouterr().out
    assert "digits/17" in shown and "epsilon" in shown and "`statement verify` tells whether that is so" in shown
    assert statement_commands.statement(["show", str(version), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["statement"]["predicate"]["fedtfx_model"] == {"epsilon": 2.5}


def test_shown_statement_sends_no_command_to_the_terminal(version, capsys):
    key = signing.load_private(version.parents[2] / "keys" / "key.pem")
    payload = statement.build("digits/17", "a" * 64, Origin(external={"pipeline": "\x1b[2Jdigits\nabout"}))
    version.with_name("17.intoto.jsonl").write_bytes(signing.seal(payload, key))
    statement_commands.statement(["show", str(version)])
    assert "?[2Jdigits?about" in capsys.readouterr().out


def test_what_is_no_version_or_no_statement_is_an_error_in_one_line(version, tmp_path):
    with pytest.raises(ConfigError, match=r"expected a version's directory or a file \*\.intoto\.jsonl"):
        statement_commands.statement(["show", str(tmp_path)])
    version.with_name("17.intoto.jsonl").write_text("{}\n")
    with pytest.raises(IntegrityError, match="expected an envelope with payload"):
        statement_commands.statement(["show", str(version)])


@pytest.mark.slow
def test_verifying_as_a_process_loads_neither_ml_metadata_nor_tensorflow(version, public):
    script = (
        "import sys; from lineage.__main__ import main; code = main(sys.argv[1:]);"
        " print([m for m in sys.modules if m.split('.')[0] in ('tensorflow', 'tfx', 'ml_metadata')]); sys.exit(code)"
    )
    command = [sys.executable, "-c", script, "statement", "verify", str(version), "--public-key", public]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "[]")


def test_name_of_a_model_is_no_path_and_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signing.make(tmp_path)
    monkeypatch.chdir(tmp_path)
    for given in ("digits/1700000000", "digits/1700000000.intoto.jsonl"):
        with pytest.raises(ConfigError, match=r"got digits/1700000000.*, where nothing is; name its path"):
            statement_commands.statement(["verify", given, "--public-key", str(tmp_path / signing.PUBLIC_FILE)])
