"""Statements: what they say, and what is wrong with one that proves nothing."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
from datetime import datetime, timezone

import pytest

from lineage import signing, statement
from lineage.statement import Origin, Resource

DIGEST, OTHER = "a" * 64, "b" * 64
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
ORIGIN = Origin(
    external={"pipeline": "digits", "seed": 2**62},
    internal={"model_node": "FederatedTrainer"},
    dependencies=[Resource("examples", {"sha256": OTHER}, {"artifact": 1}), Resource("schema", uri="urn:fedtfx:artifact:3")],
    versions={"tfx": "1.15.1"},
    run="run-1",
    byproducts=[Resource("decision.json", {"sha256": OTHER}, {"blessed": True})],
    model={"epsilon": float("inf"), "rounds": 40, "delta": 1e-5},
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("keys")
    signing.make(made / "keys")
    return made / "keys"


@pytest.fixture(scope="module")
def private(folder):
    return signing.load_private(folder / "key.pem")


@pytest.fixture(scope="module")
def public(folder):
    return signing.load_public(folder / "public.pem")


@pytest.fixture(scope="module")
def sealed(private):
    return signing.seal(statement.build("digits/17", DIGEST, ORIGIN, now=NOW), private)


def test_statement_says_what_a_model_came_from_in_slsas_words(sealed, public):
    checked = statement.check(sealed, public, DIGEST, name="digits/17")
    assert checked.verified and checked.problem == "" and checked.key_id == public.key_id
    said = checked.statement
    assert statement.about(said) == ("digits/17", DIGEST)
    build, run = said["predicate"]["buildDefinition"], said["predicate"]["runDetails"]
    assert build["externalParameters"] == {"pipeline": "digits", "seed": str(2**62)}
    assert build["resolvedDependencies"][0] == {
        "name": "examples",
        "digest": {"sha256": OTHER},
        "annotations": {"artifact": 1},
    }
    assert run["metadata"] == {"invocationId": "run-1", "finishedOn": "2026-01-02T03:04:05Z"}
    assert run["byproducts"][0]["annotations"] == {"blessed": True}
    assert said["predicate"]["fedtfx_model"] == {"epsilon": "inf", "rounds": 40, "delta": 1e-5}


def test_statement_is_the_same_text_for_the_same_facts():
    assert statement.build("digits/17", DIGEST, ORIGIN, now=NOW) == statement.build("digits/17", DIGEST, ORIGIN, now=NOW)


def test_openssl_alone_verifies_a_statement_over_dsses_encoding(sealed, folder, tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("there is no openssl on this machine")
    fields = json.loads(sealed)
    payload, kind = base64.b64decode(fields["payload"]), fields["payloadType"].encode()
    (tmp_path / "signed").write_bytes(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))
    (tmp_path / "sig").write_bytes(base64.b64decode(fields["signatures"][0]["sig"]))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", folder / "public.pem", "-rawin"]
    command += ["-in", tmp_path / "signed", "-sigfile", tmp_path / "sig"]
    assert subprocess.run(command, capture_output=True).returncode == 0
    (tmp_path / "signed").write_bytes((tmp_path / "signed").read_bytes().replace(b"run-1", b"run-2"))
    assert subprocess.run(command, capture_output=True).returncode != 0


@pytest.mark.parametrize(
    ("digest", "name", "said"),
    [
        (OTHER, "digits/17", f"expected files with tree digest {DIGEST}, got others, with {OTHER}"),
        (DIGEST, "digits/18", "expected a statement about digits/18, got one about 'digits/17'"),
        (DIGEST, "faces/17", "expected a statement about faces/17, got one about 'digits/17'"),
    ],
)
def test_statement_about_another_version_or_other_files_is_refused(sealed, public, digest, name, said):
    checked = statement.check(sealed, public, digest, name=name)
    assert (checked.verified, checked.problem) == (False, said)


def test_signature_alone_can_be_asked_for(sealed, public):
    assert statement.check(sealed, public, None).verified


def text(**changes) -> bytes:
    return json.dumps({**json.loads(statement.build("digits/17", DIGEST, ORIGIN)), **changes}).encode()


def subject(**changes) -> dict:
    return {"name": "digits/17", "digest": {"sha256": DIGEST}, **changes}


PROVENANCE = json.loads(statement.build("digits/17", DIGEST, ORIGIN))["predicate"]
ANOTHER_BUILD = {**PROVENANCE, "buildDefinition": {**PROVENANCE["buildDefinition"], "buildType": "urn:other"}}


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"", "in JSON"),
        (b"[" * 100_000, "in JSON"),
        (b"[]", "of type https://in-toto.io/Statement/v1"),
        (b'{"_type": 1, ' + text()[1:], "each key once"),
        (text(_type="https://in-toto.io/Statement/v0.1"), "of type https://in-toto.io/Statement/v1, got"),
        (text(predicateType="https://slsa.dev/provenance/v0.2"), "expected a predicate of type"),
        (text(subject=[]), "about one model"),
        (text(subject=[subject(), subject()]), "about one model"),
        (text(subject=[subject(digest={})]), "about one model"),
        (text(subject=[subject(digest={"sha512": DIGEST})]), "about one model"),
        (text(subject=[subject(digest={"sha256": DIGEST, "md5": "0"})]), "another digest"),
        (text(subject=[subject(digest={"sha256": "short"})]), "another digest"),
        (text(subject=[subject(name="")]), "another digest"),
        (text(subject="digits/17"), "about one model"),
        (text(predicate={}), "about one model"),
        (text(predicate="none"), "about one model"),
        (text(predicate=ANOTHER_BUILD), "expected a build of type urn:fedtfx:pipeline:v1, got 'urn:other'"),
        (text(more=1), "about one model"),
    ],
    ids=itertools.count(),
)
def test_signed_text_that_is_no_statement_of_ours_is_refused_in_plain_words(private, public, payload, said):
    checked = statement.check(signing.seal(payload, private), public, DIGEST, name="digits/17")
    assert not checked.verified and checked.statement is None
    assert said in checked.problem and "\n" not in checked.problem
