"""Keys and envelopes: who vouches for some bytes, so that the public key alone is enough to see it.

A key is ed25519: the private half in PEM (PKCS 8, no passphrase), which nobody but its owner may read; the public half in PEM.
Its id is the sha256 of the public key in DER: `openssl pkey -pubin -in public.pem -outform DER | sha256sum` gives it too.

An envelope is one line of JSON, a Dead Simple Signing Envelope (DSSE) with exactly one signature:

    {"payload": "<base64>", "payloadType": "application/vnd.in-toto+json", "signatures": [{"keyid": "<id>", "sig": "<base64>"}]}

Only the one spelling that `seal` gives is accepted, so there is no byte in a file that may be changed unseen.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from errors import ConfigError
from lineage.durable import sync_directory

KEY_FILE, PUBLIC_FILE = "key.pem", "public.pem"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAX_BYTES = 1 << 20  # of an envelope; ours have about 10 KB
_LINE = b"fedtfx log line "  # before what is signed of a log, so that it is never mistaken for an envelope
_MAX_KEY_BYTES = 1 << 14
_KEYGEN = "make one with `python -m lineage keygen --out DIR`"


class BadEnvelope(ValueError):
    """Bytes that are not an envelope of ours, or not signed by the key; says what was expected and what was found."""


@dataclass(frozen=True)
class SigningKey:
    """A private key. Its bytes are in no text that this makes."""

    key_id: str
    signer: Any = field(repr=False)


@dataclass(frozen=True)
class PublicKey:
    """The public half of a key: `pem` is the text of its file."""

    key_id: str
    pem: bytes = field(repr=False)
    key: Any = field(repr=False)


def make(folder: str | os.PathLike[str]) -> PublicKey:
    """Makes a key: `key.pem` (0600) and `public.pem` (0644) in `folder`, which is made (0700) if it is missing.

    Raises:
      ConfigError: there is one already, or the folder cannot be written to.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public, target = _public(key.public_key()), Path(folder)
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content, mode in ((KEY_FILE, private, 0o600), (PUBLIC_FILE, public.pem, 0o644)):
            _write_new(target / name, content, mode)
    except FileExistsError as error:
        raise ConfigError(
            f"expected no key in {folder}, got {error.filename2 or error.filename}; give another folder."
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot make a key in {folder}: {error.strerror}; give a folder that can be written to.") from None
    return public


def ensure(folder: str | os.PathLike[str]) -> Path:
    """Makes a key in `folder` unless there is one, and returns the private key's file; a missing `public.pem` is made again.

    Raises:
      ConfigError: the key that is there cannot be used, or none can be made.
    """
    private, public = Path(folder, KEY_FILE), Path(folder, PUBLIC_FILE)
    if not os.path.lexists(private):
        with suppress(FileNotFoundError):
            public.unlink()  # of a key that is gone, or that was never finished
        make(folder)
    key = load_private(private)
    if not public.exists():
        _write_new(public, public_of(key).pem, 0o644)
    return private


def load_private(path: str | os.PathLike[str]) -> SigningKey:
    """Reads a private key.

    Raises:
      ConfigError: it is missing, unreadable, no ed25519 key, or others than its owner can read it. One line, never its text.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from securesystemslib.signer import CryptoSigner, SSlibKey

    expected = f"{path}: expected an ed25519 private key in PEM (PKCS 8) without a passphrase"
    try:
        key = load_pem_private_key(_content(path, expected, private=True), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigError(f"{expected}, got something else; {_KEYGEN}.") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{expected}, got a key of another kind; {_KEYGEN}.")
    key_id = _public(key.public_key()).key_id
    return SigningKey(key_id, CryptoSigner(key, SSlibKey.from_crypto(key.public_key(), key_id)))


def load_public(path: str | os.PathLike[str]) -> PublicKey:
    """Reads a public key.

    Raises:
      ConfigError: it is missing, unreadable or not an ed25519 public key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    expected = f"{path}: expected an ed25519 public key in PEM"
    content = _content(path, expected)
    if b"PRIVATE KEY" in content:
        raise ConfigError(f"{expected}, got a private key; give its {PUBLIC_FILE}, and show the private one to nobody.")
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(
            f"{expected}, got something else; give the {PUBLIC_FILE} that was made with the signing key."
        ) from None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"{expected}, got a key of another kind; give the {PUBLIC_FILE} that was made with the signing key.")
    return _public(key)


def public_of(key: SigningKey) -> PublicKey:
    """Returns the public half."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return _public(Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.signer.public_key.keyval["public"])))


def seal(payload: bytes, key: SigningKey) -> bytes:
    """Returns the envelope around `payload`: one line with its newline."""
    from securesystemslib.dsse import Envelope

    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    envelope.sign(key.signer)
    return _spelled(envelope)


def unseal(content: bytes, key: PublicKey) -> bytes:
    """Returns what is in an envelope that `key` signed.

    Raises:
      BadEnvelope: it is not one, or the key did not sign these bytes.
    """
    from securesystemslib.exceptions import UnverifiedSignatureError

    envelope = _envelope(content)
    (signed_by,) = envelope.signatures
    if signed_by != key.key_id:
        raise BadEnvelope(f"expected the signature of key {key.key_id[:16]}, got one of key {signed_by[:16]!r}")
    try:
        envelope.verify([key.key], 1)
    except UnverifiedSignatureError:
        raise BadEnvelope(f"expected what key {key.key_id[:16]} signed, got other bytes or another's signature") from None
    if _spelled(envelope) != content:
        raise BadEnvelope("expected the envelope as it was written, got another spelling of it")
    return bytes(envelope.payload)


def peek(content: bytes) -> tuple[bytes, str]:
    """Returns what is in an envelope, and the id of the key that it says it was signed with: nothing is proven by that.

    Raises:
      BadEnvelope: it is not an envelope.
    """
    envelope = _envelope(content)
    return bytes(envelope.payload), next(iter(envelope.signatures))


def read(path: str | os.PathLike[str], most: int = MAX_BYTES) -> tuple[bytes, os.stat_result]:
    """Returns the bytes of a plain file, one more than `most` of a larger one, and what is known of that very file.

    Raises:
      OSError: it is not there, no plain file, or cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would hold us up
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "no plain file", os.fspath(path))
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(most + 1), about
    finally:
        os.close(descriptor)


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """For `json.loads`: an object whose keys are there once; with two, readers could disagree on what was signed."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadEnvelope("expected each key once, got one twice")
    return found


def sign_digest(digest: str, key: SigningKey) -> str:
    """Returns the signature, in base64, of a line of a log, by its hex sha256; see `signed_digest`."""
    return base64.b64encode(bytes.fromhex(key.signer.sign(_LINE + digest.encode()).signature)).decode()


def signed_digest(digest: str, signature: str, key: PublicKey) -> bool:
    """Whether `key` signed a line of a log: ed25519 over `fedtfx log line ` and the line's hex sha256."""
    from securesystemslib.exceptions import UnverifiedSignatureError
    from securesystemslib.signer import Signature

    try:
        own = Signature(key.key_id, base64.b64decode(signature, validate=True).hex())
        key.key.verify_signature(own, _LINE + digest.encode())
    except (UnverifiedSignatureError, ValueError):
        return False
    return True


def _envelope(content: bytes) -> Any:
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import FormatError

    fields = _fields(_line(content))
    if fields["payloadType"] != PAYLOAD_TYPE:
        raise BadEnvelope(f"expected payloadType {PAYLOAD_TYPE}, got {str(fields['payloadType'])[:60]!r}")
    _check_signatures(fields["signatures"])
    try:
        return Envelope.from_dict(dict(fields))
    except (ValueError, KeyError, TypeError, AttributeError, FormatError):
        raise BadEnvelope("expected payload and signature in base64, got something else") from None


def _line(content: bytes) -> bytes:
    if len(content) > MAX_BYTES:
        raise BadEnvelope(f"expected at most {MAX_BYTES} bytes, got more")
    if not content:
        raise BadEnvelope("expected an envelope, got an empty file")
    line, newline, rest = content.partition(b"\n")
    if not newline:
        raise BadEnvelope("expected a line with its newline, got one that was cut off")
    if rest:
        raise BadEnvelope(f"expected one line, got {len(content.splitlines())}")
    return line


def _fields(line: bytes) -> Mapping[str, Any]:
    try:
        fields = json.loads(line.decode("utf-8"), object_pairs_hook=once)
    except BadEnvelope:
        raise
    except (ValueError, RecursionError):
        raise BadEnvelope("expected an envelope in JSON, got something else") from None
    names = {"payload", "payloadType", "signatures"}
    if not isinstance(fields, dict) or set(fields) != names:
        got = repr(", ".join(sorted(fields))[:80]) if isinstance(fields, dict) else "no object"
        raise BadEnvelope(f"expected an envelope with {', '.join(sorted(names))}, got {got}")
    return fields


def _check_signatures(signatures: Any) -> None:
    if not isinstance(signatures, list) or not signatures:
        raise BadEnvelope("expected one signature, got none")
    if len(signatures) > 1:
        raise BadEnvelope(f"expected one signature, got {len(signatures)}")
    (signature,) = signatures
    if not isinstance(signature, dict) or set(signature) != {"keyid", "sig"}:
        raise BadEnvelope("expected a signature with keyid and sig, got something else")
    if not all(isinstance(value, str) for value in signature.values()):
        raise BadEnvelope("expected a signature with keyid and sig as text, got something else")


def _spelled(envelope: Any) -> bytes:
    return json.dumps(envelope.to_dict(), sort_keys=True, separators=(", ", ": ")).encode() + b"\n"


def _public(key: Any) -> PublicKey:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from securesystemslib.signer import SSlibKey

    key_id = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(key_id, pem, SSlibKey.from_crypto(key, key_id))


def _content(path: str | os.PathLike[str], expected: str, *, private: bool = False) -> bytes:
    remedy = _KEYGEN if private else f"give the {PUBLIC_FILE} that was made with the signing key"
    try:
        content, about = read(path, _MAX_KEY_BYTES)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{expected}, got {getattr(error, 'strerror', None) or error}; {remedy}.") from None
    if private:
        _check_private(path, about)
    if len(content) > _MAX_KEY_BYTES:
        raise ConfigError(f"{expected}, got a file of more than {_MAX_KEY_BYTES} bytes; {remedy}.")
    return content


def _check_private(path: str | os.PathLike[str], about: os.stat_result) -> None:
    if about.st_uid not in (os.geteuid(), 0):
        raise ConfigError(f"{path}: expected a signing key of this user, got one of user {about.st_uid}; {_KEYGEN}.")
    if about.st_mode & 0o077:
        raise ConfigError(
            f"{path}: expected a signing key that nobody else can read, got mode {stat.S_IMODE(about.st_mode):04o};"
            f" `chmod 600 {path}`, or, if somebody may have read it, {_KEYGEN}."
        )


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """Writes a file that is not there yet: the whole of it or nothing, and never open to more than `mode` says."""
    part = path.parent / f".{path.name}-{secrets.token_hex(4)}"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        os.link(part, path)  # unlike a rename, this never takes another file's place
    finally:
        part.unlink()
    sync_directory(path.parent)
