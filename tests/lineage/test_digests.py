import hashlib
import os
import shutil
import stat
from pathlib import Path

import pytest

from lineage.digests import code_digest, file_digest, tree_digest


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "one").write_bytes(b"1")
    (root / "two").write_bytes(b"2")
    return root


def test_file_digest_is_the_sha256_of_its_bytes_over_more_than_one_chunk(tmp_path) -> None:
    content = os.urandom((1 << 20) + 17)
    (tmp_path / "file").write_bytes(content)
    assert file_digest(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_a_copy_has_the_same_digest_whatever_its_times_modes_and_empty_folders(tree, tmp_path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(tree, copy)
    (copy / "empty").mkdir()
    (copy / "two").chmod(0o600)
    os.utime(copy / "two", (1, 1))
    assert tree_digest(copy) == tree_digest(tree)


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "two").write_bytes(b"3"),
        lambda root: (root / "two").rename(root / "three"),
        lambda root: (root / "two").rename(root / "a" / "two"),
        lambda root: (root / "two").unlink(),
        lambda root: (root / "empty file").touch(),
        lambda root: (root / ".hidden").write_bytes(b""),
    ],
    ids=["bytes", "name", "folder", "removed", "added", "hidden"],
)
def test_any_change_of_content_or_name_changes_the_digest(tree, change) -> None:
    before = tree_digest(tree)
    change(tree)
    assert tree_digest(tree) != before


def test_swapped_contents_change_the_digest(tree) -> None:
    before = tree_digest(tree)
    (tree / "two").write_bytes(b"1")
    (tree / "a" / "b" / "one").write_bytes(b"2")
    assert tree_digest(tree) != before


def test_a_name_that_is_no_utf8_is_digested(tree) -> None:
    before = tree_digest(tree)
    Path(os.fsdecode(os.fsencode(tree) + b"/\xff")).write_bytes(b"")
    assert tree_digest(tree) != before


@pytest.mark.parametrize("target", ["two", "a"], ids=["file", "folder"])
def test_a_symbolic_link_is_refused(tree, target) -> None:
    (tree / "link").symlink_to(tree / target)
    with pytest.raises(ValueError, match=r"symbolic link in a digested tree: .*link"):
        tree_digest(tree)


def test_root_that_is_a_symbolic_link_is_refused_but_not_one_above_it(tree, tmp_path) -> None:
    (tmp_path / "link").symlink_to(tree)
    with pytest.raises(ValueError, match=r"symbolic link in a digested tree: .*link"):
        tree_digest(tmp_path / "link")
    assert tree_digest(tmp_path / "link" / "a") == tree_digest(tree / "a")


@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFSOCK], ids=["pipe", "socket"])
def test_what_is_neither_file_nor_directory_is_refused_at_once_and_not_waited_for(tree, kind) -> None:
    os.mknod(tree / "a" / "odd", 0o600 | kind)
    with pytest.raises(ValueError, match=r"neither a regular file nor a directory .*odd"):
        tree_digest(tree)
    with pytest.raises(ValueError, match=r"expected a regular file, got another kind: .*odd"):
        file_digest(tree / "a" / "odd")


def test_file_that_is_named_by_a_link_has_the_digest_of_the_file_unless_links_are_refused(tree) -> None:
    (tree / "link").symlink_to(tree / "two")
    assert file_digest(tree / "link") == file_digest(tree / "two")
    with pytest.raises(ValueError, match="expected a regular file"):
        file_digest(tree / "link", follow=False)


def test_no_directory_is_an_error(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="no directory to digest"):
        tree_digest(tmp_path / "nothing")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    root = tmp_path / "package"
    (root / "inner").mkdir(parents=True)
    (root / "one.py").write_text("x = 1\n")
    (root / "inner" / "two.py").write_text("y = 1\n")
    return root


def test_code_digest_sees_an_edit_a_rename_and_a_new_source(package) -> None:
    seen = {code_digest(package)}
    (package / "inner" / "two.py").write_text("y = 2\n")
    seen.add(code_digest(package))
    (package / "one.py").rename(package / "uno.py")
    seen.add(code_digest(package))
    (package / "three.py").touch()
    seen.add(code_digest(package))
    assert len(seen) == 4


def test_code_digest_is_the_same_elsewhere_and_ignores_what_is_no_source(package, tmp_path) -> None:
    before = code_digest(package, package / "one.py")
    (package / "notes.txt").write_text("nothing")
    copy = tmp_path / "other" / "package"
    shutil.copytree(package, copy)
    assert code_digest(copy / "one.py", copy) == before


def test_a_place_without_source_is_an_error(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="no Python source"):
        code_digest(tmp_path)
