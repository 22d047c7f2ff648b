"""Keys and envelopes: what is refused, in one line, and that the key's text is nowhere."""

from __future__ import annotations

import base64
import json
import os
import stat

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from errors import ConfigError
from lineage import signing


@pytest.fixture
def keys(tmp_path):
    """A folder with a pair of keys."""
    signing.make(tmp_path / "keys")
    return tmp_path / "keys"


def pem(key, password: bytes | None = None) -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_made_key_can_be_read_by_its_owner_only_whatever_the_umask(tmp_path):
    umask = os.umask(0)
    try:
        signing.make(tmp_path / "keys")
    finally:
        os.umask(umask)
    assert [mode(tmp_path / "keys" / name) for name in ("", "key.pem", "public.pem")] == [0o700, 0o600, 0o644]
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == ["key.pem", "public.pem"]


def test_both_halves_of_a_key_have_one_id(keys):
    private, public = signing.load_private(keys / "key.pem"), signing.load_public(keys / "public.pem")
    assert private.key_id == public.key_id == signing.public_of(private).key_id
    assert signing.public_of(private).pem == (keys / "public.pem").read_bytes()


def test_existing_key_is_never_replaced(keys):
    before = (keys / "key.pem").read_bytes()
    with pytest.raises(ConfigError, match=r"expected no key in .*key\.pem; give another folder\.$"):
        signing.make(keys)
    assert signing.ensure(keys) == keys / "key.pem"
    assert (keys / "key.pem").read_bytes() == before


@pytest.mark.parametrize("missing", ["public.pem", "key.pem"])
def test_pair_of_which_a_half_is_missing_is_made_whole(keys, missing):
    (keys / missing).unlink()
    private = signing.load_private(signing.ensure(keys))
    assert signing.load_public(keys / "public.pem").key_id == private.key_id


def test_keys_text_is_in_no_text_of_ours(keys):
    private = signing.load_private(keys / "key.pem")
    secret = private.signer.private_bytes.decode().splitlines()[1]
    assert secret not in repr(private) + str(private) + signing.seal(b"{}", private).decode()


def open_to_others(file):
    file.chmod(0o640)


def missing(file):
    file.unlink()


def a_folder(file):
    file.unlink()
    file.mkdir()


def a_pipe(file):
    file.unlink()
    os.mkfifo(file, 0o600)


def garbage(file):
    file.write_bytes(b"\x00 no key")


def cut_off(file):
    file.write_bytes(file.read_bytes()[:60])


def with_a_passphrase(file):
    file.write_bytes(pem(ed25519.Ed25519PrivateKey.generate(), b"secret"))


def of_another_kind(file):
    file.write_bytes(pem(ec.generate_private_key(ec.SECP256R1())))


def too_large(file):
    file.write_bytes(b"x" * 100_000)


@pytest.mark.parametrize(
    ("spoil", "got"),
    [
        (open_to_others, r"expected a signing key that nobody else can read, got mode 0640; `chmod 600 .*key\.pem`"),
        (missing, "got No such file or directory"),
        (a_folder, "got no plain file"),
        (a_pipe, "got no plain file"),
        (garbage, "got something else"),
        (cut_off, "got something else"),
        (with_a_passphrase, "without a passphrase, got something else"),
        (of_another_kind, "got a key of another kind"),
        (too_large, "got a file of more than"),
    ],
)
def test_bad_private_key_is_refused_in_one_line_with_a_remedy(keys, spoil, got):
    spoil(keys / "key.pem")
    with pytest.raises(ConfigError, match=got) as refused:
        signing.load_private(keys / "key.pem")
    assert "python -m lineage keygen" in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("spoil", [missing, a_folder, a_pipe, garbage, cut_off, too_large])
def test_bad_public_key_is_refused_in_one_line(keys, spoil):
    spoil(keys / "public.pem")
    with pytest.raises(ConfigError, match="expected an ed25519 public key in PEM, got") as refused:
        signing.load_public(keys / "public.pem")
    assert "\n" not in str(refused.value)


def test_private_key_is_not_taken_for_a_public_one(keys):
    with pytest.raises(ConfigError, match=r"got a private key; give its public\.pem, and show the private one to nobody"):
        signing.load_public(keys / "key.pem")


@pytest.fixture
def sealed(keys):
    return signing.seal(b'{"a": 1}', signing.load_private(keys / "key.pem"))


@pytest.fixture
def public(keys):
    return signing.load_public(keys / "public.pem")


def test_envelope_gives_back_what_was_sealed(sealed, public):
    assert signing.unseal(sealed, public) == b'{"a": 1}'
    assert sealed.count(b"\n") == 1
    fields = json.loads(sealed)
    assert base64.b64decode(fields["payload"]) == b'{"a": 1}' and fields["payloadType"] == "application/vnd.in-toto+json"


def test_any_flipped_bit_of_an_envelope_is_found(sealed, public):
    for position in range(len(sealed)):
        for bit in range(8):
            flipped = bytearray(sealed)
            flipped[position] ^= 1 << bit
            with pytest.raises(signing.BadEnvelope):
                signing.unseal(bytes(flipped), public)


def changed(sealed: bytes, **fields) -> bytes:
    return json.dumps({**json.loads(sealed), **fields}).encode() + b"\n"


def signatures(sealed: bytes) -> list:
    return json.loads(sealed)["signatures"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda sealed: b"", "got an empty file"),
        (lambda sealed: sealed[:-1], "cut off"),
        (lambda sealed: sealed[:40], "cut off"),
        (lambda sealed: sealed * 2, "expected one line, got 2"),
        (lambda sealed: sealed + b"\n", "expected one line"),
        (lambda sealed: b" " * signing.MAX_BYTES + sealed, "expected at most 1048576 bytes"),
        (lambda sealed: b"[" * 500_000 + b"\n", "in JSON, got something else"),
        (lambda sealed: b"[]\n", "got no object"),
        (lambda sealed: b"\xff\n", "in JSON, got something else"),
        (lambda sealed: b'{"payload": "", ' + sealed[1:], "expected each key once, got one twice"),
        (lambda sealed: changed(sealed, more=1), "got 'more, payload, payloadType, signatures'"),
        (lambda sealed: changed(sealed, payloadType="text/plain"), "expected payloadType .*, got 'text/plain'"),
        (lambda sealed: changed(sealed, signatures=[]), "expected one signature, got none"),
        (lambda sealed: changed(sealed, signatures=signatures(sealed) * 2), "expected one signature, got 2"),
        (lambda sealed: changed(sealed, signatures=[7]), "with keyid and sig"),
        (lambda sealed: changed(sealed, signatures=[{"keyid": 1, "sig": None}]), "as text"),
        (lambda sealed: changed(sealed, payload="é"), "in base64"),
        (lambda sealed: changed(sealed, payload=7), "in base64"),
        (lambda sealed: changed(sealed, payload="e30="), "signed, got other bytes"),
        (lambda sealed: sealed.replace(b", ", b","), "another spelling"),
    ],
)
def test_what_is_wrong_with_an_envelope_is_said_in_plain_words(sealed, public, spoil, said):
    with pytest.raises(signing.BadEnvelope, match=said) as refused:
        signing.unseal(spoil(sealed), public)
    assert "\n" not in str(refused.value) and str(refused.value).isprintable()


def test_envelope_of_another_key_is_refused_even_under_our_keys_id(tmp_path, sealed, public):
    signing.make(tmp_path / "other")
    other = signing.seal(b'{"a": 1}', signing.load_private(tmp_path / "other" / "key.pem"))
    with pytest.raises(signing.BadEnvelope, match=r"expected the signature of key .*, got one of key"):
        signing.unseal(other, public)
    (forged,) = signatures(other)
    with pytest.raises(signing.BadEnvelope, match="or another's signature"):
        signing.unseal(changed(other, signatures=[{**forged, "keyid": public.key_id}]), public)
