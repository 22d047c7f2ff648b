"""models.config: what is written is what TensorFlow Serving's own proto reads, all of it or nothing."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import ConfigError
from serving import models_config
from serving.models_config import Following, Held

ROOT = Path(models_config.__file__).parents[1]

BY_HAND = """
# a comment
model_config_list {
  config {
    name: "cats"
    base_path: "s3://bucket/cats"
    model_platform: "tensorflow"
    model_version_policy { latest { num_versions: 2 } }
    logging_config { sampling_config { sampling_rate: 0.5 } log_collector_config { type: "file" filename_prefix: "p" } }
  }
  config { name: "dogs" base_path: "/models/dogs" model_platform: "tensorflow"
    model_version_policy { specific { versions: 4 versions: 2 } } version_labels { key: "stable" value: 2 } }
}
"""


def written(root: Path, text: str) -> Path:
    (root / "models.config").write_text(text)
    return root


def test_no_file_and_no_entry_follow(tmp_path):
    assert models_config.states(tmp_path) == {}
    assert models_config.state(tmp_path, "digits") == Following()
    assert models_config.state(written(tmp_path, ""), "digits") == Following()


def test_entries_are_read(tmp_path):
    assert models_config.states(written(tmp_path, BY_HAND)) == {"cats": Following(2), "dogs": Held((2, 4), {"stable": 2})}


def test_what_belongs_to_others_is_kept(tmp_path):
    models_config.put(written(tmp_path, BY_HAND), "cats", Held((7,), {"stable": 7}))
    models_config.put(tmp_path, "digits", Following())
    text = (tmp_path / "models.config").read_text()
    for kept in ['"s3://bucket/cats"', "sampling_rate: 0.5", 'filename_prefix: "p"', '"/models/dogs"']:
        assert kept in text
    assert f'base_path: "{tmp_path}/digits"' in text
    assert text.startswith("# Which versions are served.")
    assert models_config.states(tmp_path) == {
        "cats": Held((7,), {"stable": 7}),
        "dogs": Held((2, 4), {"stable": 2}),
        "digits": Following(),
    }


@pytest.mark.parametrize("follows", [Following(), Following(2), Following(None)])
def test_every_way_to_follow_is_read_as_it_was_written(tmp_path, follows):
    for state in (follows, Held((1,)), follows):
        models_config.put(tmp_path, "digits", state)
        assert models_config.state(tmp_path, "digits") == state


def test_entry_is_made_once(tmp_path):
    models_config.ensure(tmp_path, "digits")
    models_config.put(tmp_path, "digits", Held((3,)))
    models_config.ensure(tmp_path, "digits")
    assert models_config.state(tmp_path, "digits") == Held((3,))


def test_other_users_can_read_it_whatever_the_umask(tmp_path):
    umask = os.umask(0o077)
    try:
        models_config.ensure(tmp_path, "digits")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "models.config").stat().st_mode) == 0o644


def config(entry: str) -> str:
    return f"model_config_list {{ config {{ {entry} }} }}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model_config_list {", "expected a ModelServerConfig as text"),
        ("hello", "expected a ModelServerConfig as text"),
        ("model_config_list { config { nmae: 'digits' } }", 'no field named "nmae"'),
        ("model_config_list { config { name: 3 } }", "expected a ModelServerConfig as text"),
        (config("base_path: '/m'"), "expected one entry with a name per model, got one without"),
        ("model_config_list { config { name: 'a' } config { name: 'a' } }", "got 'a' again"),
        ("custom_model_config { }", "expected a model_config_list, got a custom_model_config"),
        (config("name: 'a' version_labels { key: 'x' value: 3 }"), "expected labels only with a policy `specific`"),
        (config("name: 'a' model_version_policy { specific { } }"), "expected at least one version, got none"),
        (
            config("name: 'a' model_version_policy { specific { versions: 1 } } version_labels { key: 'x' value: 3 }"),
            r"expected label 'x' at a listed version \(1\), got 3",
        ),
        (config("name: 'a' model_version_policy { specific { versions: 99999999999999999999 } }"), "as text"),
    ],
)
def test_broken_file_is_one_line_with_a_remedy_and_is_not_overwritten(tmp_path, text, told):
    written(tmp_path, text)
    for act in (lambda: models_config.state(tmp_path, "b"), lambda: models_config.put(tmp_path, "b", Following())):
        with pytest.raises(ConfigError, match=told) as refused:
            act()
        assert "mend it by hand" in str(refused.value) and "\n" not in str(refused.value)
    assert (tmp_path / "models.config").read_text() == text


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "models.config").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="expected a ModelServerConfig as text"):
        models_config.states(tmp_path)


def test_links_and_directories_in_its_place_are_refused(tmp_path):
    file = tmp_path / "models.config"
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="got a symbolic link"):
        models_config.put(tmp_path, "digits", Following())
    file.unlink()
    file.mkdir()
    with pytest.raises(ConfigError, match="expected a file that can be read"):
        models_config.states(tmp_path)
    file.rmdir()
    os.mkfifo(file)  # would be waited for
    with pytest.raises(ConfigError, match="expected a file that can be read"):
        models_config.states(tmp_path)


def test_folder_that_a_model_is_served_from_is_the_one_that_is_written_there(tmp_path):
    models_config.put(tmp_path, "digits", Following())
    assert models_config.base_path(tmp_path, "digits") == f"{tmp_path}/digits"
    assert models_config.base_path(tmp_path, "cats") is None


@given(
    st.dictionaries(st.text(min_size=1, max_size=5), st.integers(0, 2**63 - 1), max_size=3),
    st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=3),
)
def test_what_is_written_is_read_again(tmp_path_factory, labels, versions):
    root, held = tmp_path_factory.getbasetemp(), Held((*versions, *labels.values()), labels)
    models_config.put(root, "digits", held)
    assert models_config.state(root, "digits") == held


WORDS = [
    "model_config_list",
    "config",
    "name",
    ":",
    "{",
    "}",
    "'a'",
    "specific",
    "versions",
    "model_version_policy",
    "-1",
    "\\0",
    "#",
]


@given(st.binary(max_size=60) | st.lists(st.sampled_from(WORDS), max_size=12).map(lambda words: " ".join(words).encode()))
def test_whatever_the_file_holds_is_read_or_refused_in_one_line(tmp_path_factory, content):
    root = tmp_path_factory.getbasetemp()
    (root / "models.config").write_bytes(content)
    try:
        models_config.states(root)
    except ConfigError as refused:
        assert "\n" not in str(refused)


def test_tensorflow_servings_own_proto_reads_the_same(tmp_path):
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    models_config.put(tmp_path, "digits", Held((2, 3), {"stable": 2}))
    read = text_format.Parse((tmp_path / "models.config").read_text(), model_server_config_pb2.ModelServerConfig())
    (entry,) = read.model_config_list.config
    assert (entry.name, entry.base_path, entry.model_platform) == ("digits", f"{tmp_path}/digits", "tensorflow")
    assert list(entry.model_version_policy.specific.versions) == [2, 3]
    assert dict(entry.version_labels) == {"stable": 2}


KILLED = """
import os, signal, sys
from serving import models_config
root, at = sys.argv[1], int(sys.argv[2])
calls = 0
def guard(function):
    def guarded(*args, **kwargs):
        global calls
        calls += 1
        if calls == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return guarded
for name in ("open", "fchmod", "fsync", "rename"):
    setattr(os, name, guard(getattr(os, name)))
models_config.put(root, "digits", models_config.Held((3,)))
print(calls)
"""


@pytest.mark.slow
def test_kill_at_any_step_leaves_the_old_file_or_the_new_one(tmp_path):
    def put(at: int) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, "-c", KILLED, tmp_path, str(at)], cwd=ROOT, capture_output=True, text=True)

    steps = int(put(0).stdout)
    for at in range(1, steps + 1):
        models_config.put(tmp_path, "digits", Held((2,)))
        assert put(at).returncode == -signal.SIGKILL
        assert models_config.state(tmp_path, "digits") in (Held((2,)), Held((3,)))
    models_config.put(tmp_path, "digits", Held((2,)))
    assert [path.name for path in tmp_path.iterdir()] == ["models.config"]
