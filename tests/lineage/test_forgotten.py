"""The list of forgotten clients and its key, on a real directory."""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from errors import ConfigError, IntegrityError
from lineage import forgotten
from lineage.forgotten import Omission


@pytest.fixture
def root(tmp_path: Path) -> Path:
    forgotten.make_key(tmp_path)
    return tmp_path


def forget(root: Path, client: str, pipeline: str = "clinic", feature: str = "patient") -> bool:
    return forgotten.add(root, pipeline, forgotten.keyed_hash(forgotten.read_key(root), pipeline, client), feature)


def test_key_is_made_once_and_only_its_owner_may_read_it(root: Path) -> None:
    key = forgotten.read_key(root)
    assert len(key) == 32
    assert forgotten.make_key(root) == key
    assert stat.S_IMODE((root / ".clients").stat().st_mode) == 0o700
    assert stat.S_IMODE((root / ".clients" / "key").stat().st_mode) == 0o600


def test_keyed_hash_is_the_hmac_of_pipeline_and_client() -> None:
    key = bytes(range(32))
    assert forgotten.keyed_hash(key, "clinic", "Zoë") == hmac.new(key, "clinic\0Zoë".encode(), hashlib.sha256).hexdigest()
    assert forgotten.keyed_hash(key, "a", "b") != forgotten.keyed_hash(key, "b", "a")


def test_key_that_others_may_read_is_refused(root: Path) -> None:
    (root / ".clients" / "key").chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        forgotten.read_key(root)


def test_nobody_forgotten_is_no_omission(root: Path) -> None:
    assert forgotten.omission(root, "clinic") is None


def test_omission_tells_the_forgotten_from_the_others_and_survives_being_written(root: Path) -> None:
    assert forget(root, "ann")
    assert forget(root, "bob", feature="ward")
    omission = forgotten.omission(root, "clinic")
    assert omission is not None
    assert (omission.count, omission.features) == (2, ("patient", "ward"))
    is_forgotten = Omission.of(omission.as_text()).check()
    assert [is_forgotten(client) for client in ("ann", "bob", "cid", "Ann", "")] == [True, True, False, False, False]


def test_what_a_node_is_told_holds_neither_id_nor_hash_nor_key(root: Path) -> None:
    forget(root, "ann")
    omission = forgotten.omission(root, "clinic")
    assert omission is not None
    text, key = omission.as_text(), forgotten.read_key(root)
    assert "ann" not in text.replace(str(root), "")
    assert key.hex() not in text
    assert forgotten.keyed_hash(key, "clinic", "ann") not in text


def test_forgetting_twice_changes_nothing(root: Path) -> None:
    forget(root, "ann")
    before = forgotten.omission(root, "clinic")
    assert not forget(root, "ann")
    assert forgotten.omission(root, "clinic") == before


def test_one_more_forgotten_client_is_another_omission_but_the_old_one_still_holds(root: Path) -> None:
    forget(root, "ann")
    old = forgotten.omission(root, "clinic")
    forget(root, "bob")
    new = forgotten.omission(root, "clinic")
    assert old is not None
    assert new is not None
    assert old.digest != new.digest
    assert [old.check()("bob"), new.check()("bob")] == [False, True]


def test_pipelines_of_a_root_have_lists_of_their_own(root: Path) -> None:
    forget(root, "ann")
    assert forgotten.omission(root, "other") is None
    assert forgotten.pipelines(root) == ["clinic"]


def test_edited_list_stops_whoever_reads_it(root: Path) -> None:
    forget(root, "ann")
    forget(root, "bob")
    file = root / ".clients" / "clinic.jsonl"
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[1:]))
    with pytest.raises(IntegrityError):
        forgotten.omission(root, "clinic")


def test_list_that_was_written_anew_is_not_the_one_that_a_run_began_with(root: Path) -> None:
    forget(root, "ann")
    omission = forgotten.omission(root, "clinic")
    assert omission is not None
    (root / ".clients" / "clinic.jsonl").unlink()
    forget(root, "bob")
    with pytest.raises(IntegrityError, match="run again"):
        omission.check()


def test_lost_or_changed_key_brings_nobody_back(root: Path) -> None:
    forget(root, "ann")
    omission = forgotten.omission(root, "clinic")
    assert omission is not None
    key = root / ".clients" / "key"
    key.write_bytes(bytes(32))
    with pytest.raises(IntegrityError, match="got another"):
        omission.check()
    with pytest.raises(IntegrityError, match="got another"):
        forget(root, "bob")
    key.unlink()
    with pytest.raises(IntegrityError, match="put it back from a copy"):
        forgotten.make_key(root)


def test_many_at_once_are_all_on_the_list(root: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        added = list(threads.map(lambda number: forget(root, f"client {number % 8}"), range(16)))
    assert sum(added) == 8
    assert len(forgotten.entries(root, "clinic")) == 8


def test_ids_are_in_no_file(root: Path) -> None:
    forget(root, "ann@clinic")
    written = b"".join(Path(folder, name).read_bytes() for folder, _, names in os.walk(root) for name in names)
    assert b"ann@clinic" not in written
