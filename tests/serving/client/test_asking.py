"""One model asked over gRPC, over REST and from its files: the same answers."""

from __future__ import annotations

import numpy as np
import pytest

from errors import ConfigError, DataError
from serving.client import Client, RequestError, VersionStatus, connect


@pytest.fixture(scope="module", params=["grpc", "rest", "files"])
def client(request, asked):
    with connect(getattr(asked, request.param)) as opened:
        yield opened


def test_a_picture_is_answered_by_the_version_that_serves(client: Client, picture) -> None:
    answer = client.predict("brightness", {"image": picture(250)})
    assert (answer.model_name, answer.version, answer.signature) == ("brightness", 7, "serving_default")
    assert answer.outputs["label"].tolist() == [b"hell"]
    assert answer.outputs["scores"].shape == (1, 3)
    assert answer.outputs["scores"].dtype == np.float32


def test_every_type_goes_there_and_back(client: Client) -> None:
    rows = [{"name": "köhler", "length": 4.1, "fins": [1, 2]}, {"name": b"\xfe", "length": 3, "fins": np.array([2**53, 0])}]
    outputs = client.predict("brightness", rows, "rows").outputs
    assert outputs["total"].tolist() == [np.float32(7.1), np.float32(2**53)]
    assert outputs["name_bytes"].tolist() == ["köhler".encode() + b"\xff\x00", b"\xfe\xff\x00"]
    assert outputs["odd"].tolist() == [[True, False], [False, False]]
    assert np.isposinf(outputs["nothing"]).all()


def test_an_empty_batch_is_answered(client: Client) -> None:
    inputs = {"name": np.empty(0, object), "length": [], "fins": np.empty((0, 2), np.int64)}
    assert client.predict("brightness", inputs, "rows").outputs["total"].shape == (0,)


def test_only_the_outputs_asked_for_come(client: Client, picture) -> None:
    assert list(client.predict("brightness", picture(0), outputs=["label"]).outputs) == ["label"]


def test_examples_are_classified_with_every_label(client: Client, picture) -> None:
    answer = client.classify("brightness", [{"image": picture(0)}, {"image": picture(250)}])
    assert [[label for label, _ in row] for row in answer.results] == [["dunkel", "grau", "hell"]] * 2
    assert answer.results[0][0][1] > 0.9
    assert (answer.version, answer.signature) == (7, "classify")


def test_examples_are_regressed(client: Client, picture) -> None:
    answer = client.regress("brightness", [{"image": picture(51)}])
    assert answer.results == pytest.approx([0.2])


def test_metadata_and_status_name_the_version(client: Client) -> None:
    metadata = client.metadata("brightness")
    assert metadata.version == 7
    assert list(metadata.signatures) == ["classify", "regress", "rows", "serving_default"]
    assert metadata.signatures["rows"].inputs["fins"].shape == (None, 2)
    assert client.status("brightness") == [VersionStatus(7, "AVAILABLE")]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"version": 8}, "NOT_FOUND"),
        ({"label": "canary"}, "INVALID_ARGUMENT"),
        ({"signature": "none"}, "INVALID_ARGUMENT"),
        ({"inputs": {"image": b"no picture"}}, "INVALID_ARGUMENT"),
    ],
)
def test_what_cannot_be_answered_is_told_in_one_line(client: Client, picture, changes, code) -> None:
    with pytest.raises(RequestError) as raised:
        client.predict("brightness", **{"inputs": {"image": picture(0)}, **changes})
    assert raised.value.code == code
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(client.address)


def test_wrong_inputs_are_refused_before_anything_is_sent(client: Client) -> None:
    with pytest.raises(
        DataError, match=r"'image' is missing; signature serving_default takes image \(string \[\?\]\), got picture"
    ):
        client.predict("brightness", {"picture": b""})


def test_version_and_label_together_are_refused(client: Client) -> None:
    with pytest.raises(ConfigError, match="expected at most one"):
        client.predict("brightness", b"", version=7, label="stable")


def test_a_saved_model_by_itself_answers_as_version_0(brightness, picture, tmp_path) -> None:
    (tmp_path / "model").symlink_to(brightness / "brightness" / "7")
    with connect(str(tmp_path / "model")) as client:
        answer = client.predict("anything", picture(128))
    assert (answer.version, answer.outputs["label"].tolist()) == (0, [b"grau"])


def test_a_label_in_models_config_is_known_to_the_files(brightness, picture, tmp_path) -> None:
    from serving import models_config

    (tmp_path / "brightness").symlink_to(brightness / "brightness")
    models_config.put(tmp_path, "brightness", models_config.Held((7,), {"stable": 7}))
    with connect(str(tmp_path)) as client:
        assert client.predict("brightness", picture(0), label="stable").version == 7


@pytest.mark.parametrize("address", ["ftp://host:1", "grpc://", "nowhere", ""])
def test_an_address_that_cannot_be_used_is_refused(address: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError):
        connect(address)


def test_threads_may_share_a_client(client: Client, picture) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda grey: client.predict("brightness", picture(grey)), [0, 250] * 8))
    assert [answer.outputs["label"][0] for answer in answers] == [b"dunkel", b"hell"] * 8
