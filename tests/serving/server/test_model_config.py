import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.server import model_config
from serving.server.model_config import Policy, Settings
from serving.server.status import ApiError

VALID = """
# comment
model_config_list {
  config {
    name: "fish"
    base_path: "/models/fish"
    model_platform: "tensorflow"
    model_version_policy { specific { versions: 3 versions: 5 } }
    version_labels { key: "stable" value: 3 }
    version_labels { key: "canary" value: 5 }
  }
  config { name: "birds" base_path: "/models/birds" model_type: TENSORFLOW }
}
"""


def entry(*lines: str) -> bytes:
    plain = ('name: "m"', 'base_path: "/m"', 'model_platform: "tensorflow"')
    names = {line.split(":")[0] for line in lines}
    kept = [line for line in plain if line.split(":")[0] not in names]
    return f"model_config_list {{ config {{ {' '.join([*kept, *lines])} }} }}".encode()


def test_models_are_told_with_their_policies_and_labels() -> None:
    assert model_config.parse(VALID.encode()) == {
        "fish": Settings(Path("/models/fish"), Policy(listed=frozenset([3, 5])), {"stable": 3, "canary": 5}),
        "birds": Settings(Path("/models/birds"), Policy(latest=1)),
    }


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ("", Policy(latest=1)),
        ("latest {}", Policy(latest=1)),
        ("latest { num_versions: 3 }", Policy(latest=3)),
        ("all {}", Policy()),
        ("specific {}", Policy(listed=frozenset())),
    ],
)
def test_a_policy_is_read(policy: str, told: Policy) -> None:
    assert model_config.parse(entry(f"model_version_policy {{ {policy} }}"))["m"].policy == told


@pytest.mark.parametrize(
    ("policy", "found", "failing", "chosen"),
    [
        (Policy(latest=2), [1, 2, 3, 4], {}, {3, 4}),
        (Policy(latest=1), [1, 2, 3, 4], {4, 3}, {2, 3, 4}),
        (Policy(latest=2), [1, 2, 3], {2}, {1, 2, 3}),
        (Policy(latest=1), [], {}, set()),
        (Policy(latest=1), list(range(1000)), set(range(1000)), set(range(899, 1000))),
        (Policy(), [1, 5], {5}, {1, 5}),
        (Policy(listed=frozenset([1, 9])), [1, 5], {1}, {1}),
    ],
)
def test_a_policy_chooses_and_passes_over_what_fails(policy: Policy, found, failing, chosen) -> None:
    assert policy.choose(found, failing) == chosen


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "the configuration is empty"),
        (b"# nothing\n", "the configuration is empty"),
        (b"models {}", "Invalid protobuf"),
        (b"\xff\xfe", "Invalid protobuf"),
        (b"model_config_list {", "Invalid protobuf"),
        (b'custom_model_config { type_url: "x" }', "custom_model_config is not supported"),
        (VALID.replace("birds", "fish").encode(), "Illegal to list model fish multiple times"),
        (entry('name: "../x"'), "bad model name '../x'"),
        (entry('name: ""'), "bad model name ''"),
        (entry('base_path: "models/m"'), "Expected model m to have an absolute path"),
        (entry('base_path: ""'), "Expected model m to have an absolute path"),
        (entry(r'base_path: "/m\000"'), "Expected model m to have an absolute path"),
        (entry('base_path: "gs://bucket/m"'), "is not a directory of this machine"),
        (entry('model_platform: ""'), "Illegal setting neither model_type nor model_platform"),
        (entry('model_platform: "tflite"'), 'platform tflite is not supported; expected "tensorflow"'),
        (entry("model_type: TENSORFLOW"), "Illegal setting both"),
        (entry('model_platform: ""', "model_type: OTHER"), "platform OTHER is not supported"),
        (entry('version_labels { key: "" value: 1 }'), "a version label is empty"),
        (entry('version_labels { key: "x" value: 9223372036854775808 }'), "Invalid protobuf"),
    ],
)
def test_a_wrong_configuration_is_refused(text: bytes, said: str) -> None:
    with pytest.raises(ApiError, match=re.escape(said)) as refused:
        model_config.parse(text)
    assert refused.value.code == "INVALID_ARGUMENT"
    assert "\n" not in refused.value.message


def mutated() -> st.SearchStrategy[bytes]:
    """The valid text with pieces of it cut out, doubled, or replaced by anything."""
    places = st.integers(0, len(VALID))
    junk = st.one_of(
        st.binary(max_size=6), st.sampled_from([b"{", b"}", b"<", b'"', b"\\377", b"[", b"-1", b"1e400", b"[x.y/z] {"])
    )
    cut = st.tuples(places, places, junk).map(
        lambda cut: VALID.encode()[: cut[0]] + cut[2] + VALID.encode()[max(cut[0], cut[1] - len(VALID) // 2) :]
    )
    pieces = st.lists(st.sampled_from(re.findall(r"\s*\S+", VALID)), max_size=40).map(lambda words: "".join(words).encode())
    return st.one_of(st.binary(max_size=80), st.text(max_size=80).map(str.encode), pieces, cut)


@settings(max_examples=100, deadline=None)
@given(mutated())
def test_any_text_is_read_or_refused_with_one_line(text: bytes) -> None:
    try:
        models = model_config.parse(text)
    except ApiError as refused:
        assert refused.code == "INVALID_ARGUMENT"
        assert "\n" not in refused.message
    else:
        assert all(settings.base_path.is_absolute() for settings in models.values())


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(ApiError, match="Invalid protobuf"):
        model_config.parse(b"custom_model_config { [type.googleapis.com/tensorflow.serving.ModelServerConfig] {" * 5000)


def test_only_a_plain_file_of_bounded_size_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "large").open("wb") as large:
        large.truncate(1 << 30)
    for name, code in [
        ("pipe", "INVALID_ARGUMENT"),
        ("large", "INVALID_ARGUMENT"),
        ("none", "NOT_FOUND"),
        (".", "INVALID_ARGUMENT"),
    ]:
        with pytest.raises(ApiError) as refused:
            model_config.read(tmp_path / name)
        assert refused.value.code == code


def test_a_model_whose_requests_should_be_logged_is_served_and_says_that_they_are_not(caplog: pytest.LogCaptureFixture) -> None:
    assert set(model_config.parse(entry("logging_config {}"))) == {"m"}
    assert "model m: logging_config is not followed" in caplog.text
