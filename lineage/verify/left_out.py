"""The lists of forgotten clients held against the log of runs: both tell how many there are, and neither tells who."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from errors import ConfigError, IntegrityError
from lineage import forgotten
from lineage.verify.report import ALTERED, FORGOTTEN, UNPROVEN, VERIFIED, Finding
from lineage.verify.run_log import RunLog

_REMEDY = "put back a copy of list, key and log: until then a run could take a client in again"


def lists(root: str, log: RunLog) -> Iterator[Finding]:
    """Yields a finding per pipeline that has a list, or of which the log says that it had one."""
    told = [entry.facts for entry in log.entries if entry.event == forgotten.EVENT or forgotten.TALLY in entry.facts]
    for pipeline in sorted({*forgotten.pipelines(root), *(str(facts.get("pipeline")) for facts in told)}):
        yield _checked(root, pipeline, log)


def _checked(root: str, pipeline: str, log: RunLog) -> Finding:
    subject, path = f"clients that {pipeline} leaves out", str(Path(root, forgotten.FOLDER, f"{pipeline}.jsonl"))
    expected = "what the log of runs tells of"
    try:
        count = forgotten.check(root, pipeline, log.entries)
    except (IntegrityError, ConfigError, ValueError, KeyError, TypeError) as error:
        return Finding(FORGOTTEN, subject, ALTERED, expected, str(error), _REMEDY, path)
    except OSError as error:
        return Finding(FORGOTTEN, subject, UNPROVEN, expected, error.strerror or "none", "let this user read it", path)
    return Finding(FORGOTTEN, subject, VERIFIED, expected, f"{count} clients", path=path)
