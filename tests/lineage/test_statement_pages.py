"""What the pages on statements let a reader type really works on a signed version."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lineage import audit_log, signing, statement
from lineage.digests import tree_digest
from lineage.statement import Origin

ROOT = Path(signing.__file__).parents[1]
HOW_TO, REFERENCE = "docs/how-to/prove-where-a-model-came-from.md", "docs/reference/statement.md"
LOG = "docs/reference/run-log.md"


@pytest.fixture
def served(tmp_path):
    """Version 17 of digits with its statement, and the public key beside all that."""
    made = tmp_path / "models" / "digits" / "17"
    (made / "variables").mkdir(parents=True)
    (made / "saved_model.pb").write_bytes(bytes(range(256)))
    (made / "variables" / "variables.index").write_text("index")
    (made / "a-b").write_text("")
    (made / "Z ä").write_text("sorted by bytes")
    signing.make(tmp_path / "keys")
    shutil.copy(tmp_path / "keys" / "public.pem", tmp_path)
    key = signing.load_private(tmp_path / "keys" / "key.pem")
    payload = statement.build("digits/17", tree_digest(made), Origin())
    made.with_name("17.intoto.jsonl").write_bytes(signing.seal(payload, key))
    return made


def sh(page: str, containing: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Runs the block of a page that contains a text, as a reader would."""
    text = (ROOT / page).read_text(encoding="utf-8")
    (block,) = (each for each in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL) if containing in each)
    places = {"MODELS": str(folder / "models"), "VERSION": "17", "OUT": str(folder)}
    return subprocess.run(
        ["bash", "-e", "-c", block], cwd=folder, env={**os.environ, **places, **more}, capture_output=True, text=True
    )


@pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl on this machine")
def test_openssl_verifies_as_the_page_says_and_refuses_another_statement(served, tmp_path):
    done = sh(HOW_TO, "openssl pkeyutl", tmp_path)
    assert done.returncode == 0 and "Verified Successfully" in done.stdout
    file = served.with_name("17.intoto.jsonl")
    file.write_bytes(file.read_bytes().replace(b'"payload": "eyJ', b'"payload": "fyJ'))
    assert sh(HOW_TO, "openssl pkeyutl", tmp_path).returncode != 0


def test_tree_digest_in_shell_is_the_one_that_is_signed(served, tmp_path):
    assert sh(REFERENCE, "sha256sum", tmp_path).stdout.split()[0] == tree_digest(served)


@pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl on this machine")
def test_openssl_verifies_the_end_of_a_run_as_the_page_says_and_refuses_another(served, tmp_path):
    key, log = signing.load_private(tmp_path / "keys" / "key.pem"), tmp_path / "audit.jsonl"
    ended = audit_log.digest(audit_log.append(log, "run_ended", run="r", outcome="pushed"))
    audit_log.append(log, "seal", run="r", key_id=key.key_id, line=ended, signature=signing.sign_digest(ended, key))
    done = sh(LOG, "openssl pkeyutl", tmp_path, ROOT=str(tmp_path))
    assert done.returncode == 0 and "Verified Successfully" in done.stdout, done.stderr
    log.write_bytes(log.read_bytes().replace(b"pushed", b"failed"))
    assert sh(LOG, "openssl pkeyutl", tmp_path, ROOT=str(tmp_path)).returncode != 0


@pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl on this machine")
def test_key_id_in_shell_is_the_keys_id(served, tmp_path):
    (command,) = re.findall(r"`keyid` is the sha256 .*: `(.*)`", (ROOT / REFERENCE).read_text(encoding="utf-8"))
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split()[0] == signing.load_public(tmp_path / "public.pem").key_id


def test_key_that_openssl_made_is_a_signing_key(tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("there is no openssl on this machine")
    (command,) = re.findall(r"`(openssl genpkey [^`]*)`", (ROOT / HOW_TO).read_text(encoding="utf-8"))
    subprocess.run(["bash", "-c", f"umask 077; {command}"], cwd=tmp_path, check=True, capture_output=True)
    assert len(signing.load_private(tmp_path / "key.pem").key_id) == 64


@pytest.mark.slow
def test_command_of_the_page_verifies(served, tmp_path):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = sh(HOW_TO, "statement verify", tmp_path, PATH=path, PYTHONPATH=str(ROOT))
    assert (done.returncode, done.stdout.splitlines()[0].startswith("verified  digits/17")) == (0, True), done.stderr
