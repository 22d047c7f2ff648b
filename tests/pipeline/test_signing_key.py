"""The runner's key: made once, or given, and refused before anything runs."""

from __future__ import annotations

import stat

import pytest

from errors import ConfigError
from lineage import signing
from pipeline import signing_key
from pipeline.environment import Environment


def environment(root, given=None) -> Environment:
    return Environment.local(str(root), str(root / "served"), signing_key=signing_key.check(given, str(root)))


def test_default_key_is_made_once_in_the_pipeline_root(tmp_path):
    where = environment(tmp_path)
    assert not (tmp_path / ".signing").exists()
    signing_key.prepare(where)
    made = signing.load_private(where.signing_key).key_id
    signing_key.prepare(where)
    assert where.signing_key == str(tmp_path / ".signing" / "key.pem")
    assert signing.load_private(where.signing_key).key_id == made
    assert signing.load_public(tmp_path / ".signing" / "public.pem").key_id == made
    assert stat.S_IMODE((tmp_path / ".signing").stat().st_mode) == 0o700


def test_given_key_is_used_and_no_other_made(tmp_path):
    signing.make(tmp_path / "mine")
    where = environment(tmp_path / "root", str(tmp_path / "mine" / "key.pem"))
    signing_key.prepare(where)
    assert where.signing_key == str(tmp_path / "mine" / "key.pem")
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("given", [True, False])
def test_bad_key_is_refused_with_the_options_name_before_anything_runs(tmp_path, given):
    key = tmp_path / ".signing" / "key.pem"
    signing.make(key.parent)
    key.chmod(0o604)
    with pytest.raises(ConfigError, match=r"^--signing-key: .*key\.pem: expected a signing key that nobody else can read"):
        signing_key.check(str(key) if given else None, str(tmp_path))


def test_missing_given_key_is_not_made(tmp_path):
    with pytest.raises(ConfigError, match=r"^--signing-key: .*got No such file or directory; make one with"):
        signing_key.check(str(tmp_path / "key.pem"), str(tmp_path))
    assert list(tmp_path.iterdir()) == []
