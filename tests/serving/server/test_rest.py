import gzip
import json
import math

import numpy as np
import pytest
import requests

pytestmark = pytest.mark.slow

ROW = {"name": "ö", "length": 1.5, "fins": [1, 2]}
BOTH = {"name": ["ö", {"b64": "/w=="}], "length": [1.5, -2], "fins": [[1, 2], [3, 4]]}


@pytest.fixture(scope="module")
def expected(direct) -> dict[str, np.ndarray]:
    return direct(["ö".encode(), b"\xff"], [1.5, -2.0], [[1, 2], [3, 4]])


def error(reply, status: int) -> str:
    assert reply.headers["content-type"] == "application/json"
    assert reply.status_code == status, reply.text
    assert list(reply.json()) == ["error"]
    return reply.json()["error"]


def test_rows_are_answered_as_by_the_signature_itself(server, expected) -> None:
    reply = server.post("fish:predict", {"instances": [ROW, {"name": {"b64": "/w=="}, "length": -2, "fins": [3, 4]}]})
    assert reply.status_code == 200
    rows = reply.json()["predictions"]
    scores = np.array([row["scores"] for row in rows], np.float32)
    np.testing.assert_array_equal(scores, expected["scores"])
    assert [row["best"] for row in rows] == expected["best"].tolist()
    assert [row["label"].encode() for row in rows] == expected["label"].tolist()
    assert [row["code_bytes"] for row in rows] == [{"b64": "/wA="}] * 2


def test_columns_are_answered_as_by_the_signature_itself(server, expected) -> None:
    reply = server.post("fish/versions/7:predict", {"signature_name": "serving_default", "inputs": BOTH})
    outputs = reply.json()["outputs"]
    np.testing.assert_array_equal(np.array(outputs["scores"], np.float32), expected["scores"])
    assert outputs["best"] == expected["best"].tolist()
    assert server.post("fish:predict", {"inputs": {"name": [], "length": [], "fins": []}}).json()["outputs"]["scores"] == []


def test_not_a_number_goes_in_and_out_as_a_bare_word(server) -> None:
    body = '{"instances": [{"name": "a", "length": %s, "fins": [1, 2]}]}'
    for word in ("NaN", "-Inf"):
        reply = server.post("fish:predict", body % word)
        assert "NaN" in reply.text
        assert any(math.isnan(score) for score in reply.json()["predictions"][0]["scores"])


def test_a_gzip_body_is_inflated_up_to_the_limit(server) -> None:
    plain = json.dumps({"instances": [ROW]}).encode()
    headers = {"Content-Encoding": "gzip"}
    same = server.post("fish:predict", plain).json()
    assert server.post("fish:predict", gzip.compress(plain), headers=headers).json() == same
    assert "larger than 100000 bytes" in error(server.post("fish:predict", gzip.compress(b" " * 10**7), headers=headers), 413)
    assert "not gzip" in error(server.post("fish:predict", plain, headers=headers), 400)
    assert "cut off" in error(server.post("fish:predict", gzip.compress(plain)[:-9], headers=headers), 400)
    assert "after its end" in error(server.post("fish:predict", gzip.compress(plain) + b"more", headers=headers), 400)


def test_a_body_over_the_limit_is_refused(server) -> None:
    assert "larger than 100000 bytes" in error(server.post("fish:predict", " " * 100_001), 413)
    assert "larger than 100000 bytes" in error(server.post("fish:predict", " " * 10**7), 413)


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("fish:predict", "", 400, "The document is empty"),
        ("fish:predict", "{", 400, "JSON Parse error: "),
        ("nobody:predict", "{", 400, "JSON Parse error: "),
        ("nobody:predict", {}, 404, "Servable not found for request: Latest(nobody)"),
        ("fish/versions/8:predict", {}, 404, "Servable not found for request: Specific(fish, 8)"),
        ("fish/versions/99999999999999999999:predict", {}, 400, "Failed to convert version"),
        ("fish/labels/stable:predict", {}, 400, "Unrecognized servable version label: stable"),
        ("fish/versions/7/labels/stable:predict", {}, 400, "Malformed request: POST /v1/models/fish/versions/7/labels/stable"),
        ("fish:predict", {"signature_name": "x"}, 400, 'Serving signature name: "x" not found in signature def'),
        ("fish:predict", {}, 400, "Missing 'inputs' or 'instances' key"),
        ("fish:predict", {"instances": [{"name": "a"}]}, 400, "[key: fins]"),
        ("fish:predict", {"instances": [ROW, {**ROW, "fins": [1]}]}, 400, "element: 1 [key: fins] of 'instances' list"),
        ("fish:predict", {"instances": [{**ROW, "fins": [1.0, 2]}]}, 400, "1.0 Type: Number is not of expected type: int64"),
        (
            "fish:predict",
            {"instances": [{**ROW, "fins": [1, 2, 3]}]},
            400,
            "input fins has shape [1, 3]; the signature takes [?,2]",
        ),
        ("fish:predict", {"inputs": {**BOTH, "length": [1]}}, 400, ""),
        ("fish:predict", {"signature_name": "serve_examples", "instances": ["no example"]}, 400, ""),
        ("fish:Predict", {}, 400, "Malformed request: POST /v1/models/fish:Predict"),
        ("fish:explain", {}, 400, "Malformed request: POST /v1/models/fish:explain"),
        ("fish", {}, 400, "Malformed request: POST /v1/models/fish"),
    ],
)
def test_what_cannot_be_answered_has_the_real_servers_status(server, path: str, body, status: int, said: str) -> None:
    assert said in error(server.post(path, body), status)


def test_an_escaped_name_is_read_after_the_path_is_matched(server) -> None:
    assert server.post("f%69sh:predict", {"instances": [ROW]}).status_code == 200
    assert "Latest(a/b)" in error(server.post("a%2Fb:predict", {}), 404)


def test_the_status_tells_the_version_that_is_available(server) -> None:
    status = {"version": "7", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    for path in ("v1/models/fish", "v1/models/fish/versions/7", "V1/Models/fish"):
        assert server.get(path).json() == {"model_version_status": [status]}
    assert error(server.get("v1/models/fish/versions/8"), 404) == "Could not find version 8 of model fish"
    assert error(server.get("v1/models/nobody"), 404) == "Could not find any versions of model nobody"
    assert error(server.get("v1/models"), 400) == "Missing model name in request"
    assert error(server.get("v1/other"), 400) == "Malformed request: GET /v1/other"


def test_the_metadata_tells_the_signatures(server) -> None:
    reply = server.get("v1/models/fish/metadata").json()
    assert reply["model_spec"] == {"name": "fish", "signature_name": "", "version": "7"}
    signatures = reply["metadata"]["signature_def"]["signature_def"]
    assert {"serving_default", "serve_examples", "classify"} <= signatures.keys()
    fins = signatures["serving_default"]["inputs"]["fins"]
    assert fins["dtype"] == "DT_INT64"
    assert [axis["size"] for axis in fins["tensor_shape"]["dim"]] == ["-1", "2"]
    assert fins["tensor_shape"]["unknown_rank"] is False
    assert "Specific(fish, 8)" in error(server.get("v1/models/fish/versions/8/metadata"), 404)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_another_verb_is_malformed(server, method: str) -> None:
    error(requests.request(method, f"{server.url}/v1/models/fish", timeout=60), 400)


def test_health_is_outside_of_the_api(server) -> None:
    assert server.get("healthz").status_code == 200
    assert server.get("readyz").status_code == 200
    assert server.get("elsewhere").status_code == 404
