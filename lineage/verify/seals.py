"""The signatures over the ends of runs, by which nobody without the key can write the log of runs anew."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from lineage import audit_log, signing
from lineage.audit_log import Entry
from lineage.signing import PublicKey
from lineage.verify.report import ALTERED, LOG, UNPROVEN, VERIFIED, Finding
from lineage.verify.run_log import ENDED, RunLog

_EVENT = "seal"
_REMEDY = "put back a copy of the log, or run the pipeline again with the key: what ran is unproven without"


def seals(log: RunLog, runs: Collection[str], key: PublicKey | None) -> Iterator[Finding]:
    """Yields a finding per run that ended, if runs are sealed here at all: one without a seal among others that have one tells.

    Each run needs its own. That the next one's covers the same lines proves nothing: they may have been altered before it.

    Args:
      log: the log.
      runs: those that are verified; of others only a seal that is wrong counts.
      key: the public key; None for none.
    """
    told = [entry for entry in log.entries if entry.event == _EVENT]
    if key is None and not told:
        return
    by_line = {str(entry.facts.get("line")): entry for entry in told if key is None or _is_by(entry, key)}
    for entry in (entry for entry in log.entries if entry.event in ENDED and entry.facts.get("run") in runs):
        line = audit_log.digest(entry)
        yield _checked(log, f"end of run {entry.facts['run']}, signed", by_line.get(line), line, key)
    for line, seal in by_line.items():
        if line not in log.lines and key is not None:
            subject, got = f"seal of run {seal.facts.get('run')}", "no such line: the log was written anew before the seal"
            yield Finding(LOG, subject, ALTERED, f"the line {line[:12]} that was signed", got, _REMEDY, log.path)


def notes(log: RunLog, key: PublicKey | None) -> list[str]:
    """Returns that nothing is sealed, where there is no key."""
    if key is not None or not log.contexts or any(entry.event == _EVENT for entry in log.entries):
        return []
    return ["the log of runs is not sealed: whoever can write here can have written it and ML Metadata anew"]


def _checked(log: RunLog, subject: str, seal: Entry | None, line: str, key: PublicKey | None) -> Finding:
    if key is None:
        return Finding(LOG, subject, UNPROVEN, "a public key", "none", "give the signer's with --public-key", log.path)
    expected = f"a signature of key {key.key_id[:12]}"
    if seal is None:
        return Finding(LOG, subject, UNPROVEN, expected, "none", _REMEDY, log.path)
    if not signing.signed_digest(line, str(seal.facts.get("signature")), key):
        return Finding(LOG, subject, ALTERED, expected, "one that the key did not make", _REMEDY, log.path)
    return Finding(LOG, subject, VERIFIED, expected, line[:12], path=log.path)


def _is_by(seal: Entry, key: PublicKey) -> bool:
    return bool(seal.facts.get("key_id") == key.key_id)
