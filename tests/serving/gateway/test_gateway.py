"""The gateway's answers, before a real model server."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import portpicker
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]


JSON = {"Content-Type": "application/json"}


def ask(url: str, **how) -> httpx.Response:
    return httpx.post(f"{url}/v1/predict", **how, timeout=30)


def error(reply: httpx.Response) -> str:
    [(key, text)] = reply.json().items()
    assert key == "error"
    assert "\n" not in text
    assert "Traceback" not in text
    return text


def test_a_picture_of_any_size_and_kind_is_answered_with_every_label(pictures: str, picture) -> None:
    reply = ask(pictures, content=picture(250, (300, 200), "JPEG", "RGB"), headers={"Content-Type": "image/jpeg"}).json()
    assert (reply["model"], reply["version"], reply["label"]) == ("brightness", 7, "")
    assert [one["label"] for one in reply["predictions"]] == ["hell", "grau", "dunkel"]
    assert reply["predictions"][0]["score"] > 0.9
    assert reply["outputs"]["label"] == "hell"
    assert 0 < reply["milliseconds"] < 10_000


def test_an_uploaded_form_is_answered(pictures: str, picture) -> None:
    assert ask(pictures, files={"image": ("a.gif", picture(0, kind="GIF"))}).json()["predictions"][0]["label"] == "dunkel"


def test_texts_and_rows_are_answered_by_models_that_take_them(run_gateway) -> None:
    praise, fish = run_gateway("praise"), run_gateway("fish")
    assert ask(praise, json={"text": "sehr fein"}).json()["predictions"] == [{"label": "gut", "score": None}]
    assert ask(praise, files={"text": (None, "übel")}).json()["predictions"][0]["label"] == "schlecht"
    row = {"name": "hai", "length": 3.5, "fins": [1, 2]}
    one = ask(fish, json={"row": row}).json()
    assert one["outputs"] == {"total": 6.5, "name_bytes": {"b64": "aGFp/wA="}, "odd": [True, False], "nothing": None}
    assert one["predictions"] == []
    several = ask(fish, json={"rows": [row, {**row, "length": 1}]}).json()
    assert [result["outputs"]["total"] for result in several["results"]] == [6.5, 4.0]
    assert several["version"] == 7


@pytest.mark.parametrize(
    ("how", "status", "said"),
    [
        ({"content": b"GIF87a", "headers": {"Content-Type": "image/png"}}, 415, "no picture"),
        ({"content": b"a", "headers": {"Content-Type": "text/plain"}}, 415, "expected Content-Type"),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "not JSON"),
        ({"content": b"[" * 5000, "headers": {"Content-Type": "application/json"}}, 400, "not JSON"),
        ({"content": b'{"row": {"a": NaN}}', "headers": {"Content-Type": "application/json"}}, 400, "not JSON"),
        ({"json": {"text": "a", "row": {}}}, 400, "exactly one"),
        ({"json": {"text": 1}}, 400, "not a string"),
        ({"json": {"rows": []}}, 400, "not an object"),
        ({"json": {"text": "a"}}, 422, "takes a picture, not a text"),
        ({"json": {"image_url": "http://127.0.0.1/"}}, 422, "not fetched from URLs here"),
        ({"content": bytes(300_000), "headers": {"Content-Type": "image/png"}}, 413, "more than 200000 bytes"),
        ({"content": iter([bytes(150_000)] * 2), "headers": {"Content-Type": "image/png"}}, 413, "more than 200000 bytes"),
        ({"content": b"--x--", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, 400, "exactly one field"),
        ({"content": b"--x--", "headers": {"Content-Type": "multipart/form-data" + ";a" * 30_000}}, 400, "300 characters"),
    ],
)
def test_what_cannot_be_answered_says_why_with_the_right_status(pictures: str, how, status: int, said: str) -> None:
    reply = ask(pictures, **how)
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/json")
    assert said in error(reply)


def test_a_picture_of_a_size_that_the_model_does_not_take_is_422_and_says_what_sets_it(run_gateway, picture) -> None:
    reply = ask(run_gateway("brightness"), content=picture(250, (100, 100)), headers={"Content-Type": "image/png"})
    assert reply.status_code == 422
    assert "start the gateway with --image_size" in error(reply)


def test_json_that_would_fill_the_memory_is_413(run_gateway) -> None:
    reply = ask(run_gateway("fish"), content=b'{"row": {"a": [' + b"[]," * 700_000 + b"[]]}}", headers=JSON)
    assert (reply.status_code, error(reply)) == (413, "the JSON has more than 2000000 bytes; send fewer rows at once")


def test_a_row_that_the_model_does_not_take_is_422(run_gateway) -> None:
    fish = run_gateway("fish")
    for row in ({"name": "a"}, {"name": "a", "length": "long", "fins": [1, 2]}, {"name": "a", "length": 1, "fins": [1]}):
        reply = ask(fish, json={"row": row})
        assert reply.status_code == 422
        error(reply)


class OnePicture(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        self.send_header("Content-Length", str(len(self.server.picture)))
        self.end_headers()
        self.wfile.write(self.server.picture)

    def log_message(self, *_) -> None:
        pass


def test_a_picture_is_fetched_where_that_is_allowed_and_only_there(run_gateway, picture) -> None:
    with ThreadingHTTPServer(("", 0), OnePicture) as host:
        host.picture = picture(250, (100, 100))
        threading.Thread(target=host.serve_forever, args=(0.01,), daemon=True).start()
        flags = ["--allow_image_urls", "--image_url_networks=127.0.0.1/32", f"--image_url_ports={host.server_port}"]
        url = run_gateway("brightness", "--image_size=8x8", *flags)
        answer = ask(url, json={"image_url": f"http://127.0.0.1:{host.server_port}/a.png"}).json()
        assert answer["predictions"][0]["label"] == "hell"
        refused = ask(url, json={"image_url": f"http://127.0.0.2:{host.server_port}/a.png"})
        assert (refused.status_code, error(refused)) == (422, "the URL leads to an address that is not public")
        host.shutdown()


def test_another_method_or_path_is_told_in_json(pictures: str) -> None:
    reply = httpx.get(f"{pictures}/v1/predict")
    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")
    assert error(reply) == "Method Not Allowed"
    assert httpx.get(f"{pictures}/page/../settings.py").status_code == 404


def test_probes_tell_a_living_gateway_from_a_ready_one(run_gateway, pictures: str) -> None:
    alone = run_gateway("brightness", "--timeout=2", server=f"grpc://127.0.0.1:{portpicker.pick_unused_port()}")
    unknown = run_gateway("nothing")
    assert [httpx.get(f"{url}/healthz").status_code for url in (pictures, alone, unknown)] == [200, 200, 200]
    assert [httpx.get(f"{url}/readyz").status_code for url in (pictures, alone, unknown)] == [200, 503, 503]
    reply = ask(alone, json={"text": "a"})
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
    assert "127.0.0.1" not in error(reply)
    assert ask(unknown, json={"text": "a"}).status_code == 502


def test_requests_above_the_limit_are_refused(run_gateway) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(1) as pool:  # a model server that never answers
        server = f"grpc://127.0.0.1:{silent.getsockname()[1]}"
        url = run_gateway("brightness", "--max_concurrency=1", "--timeout=2", server=server)
        first = pool.submit(ask, url, json={"text": "a"})
        while "gateway_requests_in_flight 1.0" not in httpx.get(f"{url}/metrics").text:
            assert not first.done()
        assert ask(url, json={"text": "a"}).status_code == 503
        assert first.result().status_code in (503, 504)


HEAD = b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: 100\r\n\r\nhalf"


def test_senders_who_send_nothing_take_nobodys_place(run_gateway, picture) -> None:
    url = run_gateway("brightness", "--image_size=8x8", "--max_concurrency=1", "--max_connections=8")
    host, port = url.removeprefix("http://").split(":")
    with ExitStack() as open_ones:
        for _ in range(4):
            open_ones.enter_context(socket.create_connection((host, int(port)))).sendall(HEAD)
        answered = httpx.get(f"{url}/metrics", timeout=10)
        assert "gateway_requests_in_flight 0.0" in answered.text
        reply = ask(url, content=picture(0), headers={"Content-Type": "image/png"})
        assert (reply.status_code, error(reply)) == (503, "4 requests are arriving; try again later")
        open_ones.pop_all().close()
    assert ask(url, content=picture(0), headers={"Content-Type": "image/png"}).status_code == 200


def test_endless_headers_and_too_many_connections_are_refused(run_gateway) -> None:
    url = run_gateway("brightness", "--image_size=8x8", "--max_concurrency=1", "--max_connections=8")
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as endless:
        endless.sendall(b"GET / HTTP/1.1\r\n" + (b"a: " + b"b" * 1000 + b"\r\n") * 70)
        assert b" 431 " in endless.recv(100)
    with ExitStack() as open_ones:
        many = [open_ones.enter_context(socket.create_connection((host, int(port)))) for _ in range(9)]
        assert b" 503 " in many[-1].recv(100)


def test_metrics_count_by_route_status_and_version(pictures: str, picture) -> None:
    ask(pictures, content=picture(0), headers={"Content-Type": "image/png"})
    httpx.get(f"{pictures}/some/path/of/a/stranger")
    text = httpx.get(f"{pictures}/metrics").text
    assert re.search(r'gateway_answers_total\{version="7"\} [1-9]', text)
    assert re.search(r'gateway_requests_total\{route="/v1/predict",status="200"\} [1-9]', text)
    assert re.search(r'gateway_requests_total\{route="other",status="404"\} [1-9]', text)
    assert "stranger" not in text


def test_every_answer_carries_the_headers_that_make_browsers_careful(pictures: str) -> None:
    for path in ("/", "/v1/predict", "/openapi.json", "/nowhere"):
        headers = httpx.get(pictures + path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
        assert headers["x-content-type-options"] == "nosniff"


def test_the_description_is_true(pictures: str, tmp_path) -> None:
    """Random acceptance is left out: most random bytes are no picture, and the model takes no texts."""
    command = [
        Path(sys.executable).with_name("schemathesis"),
        "run",
        f"{pictures}/openapi.json",
        "--max-examples=10",
        "--seed=1",
    ]
    command += ["--exclude-checks=positive_data_acceptance", "--no-color", "--generation-database=none"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


def test_wrong_flags_are_one_line(capsys) -> None:
    from serving.__main__ import main

    for flags in (
        ["--server", "http://a"],
        ["--server", "grpc://a:1", "--image_size", "8"],
        ["--server", "grpc://a:1", "--top", "0"],
    ):
        assert main(["gateway", "--model_name", "m", *flags]) == 2
        assert capsys.readouterr().err.count("\n") == 1


ONLY_LOCKED = """
import re, sys
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

def plain(name):
    return re.sub("[-_.]+", "-", name).lower()

locked = {plain(name) for name in re.findall("(?m)^([^ #=]+)==", Path("requirements-gateway.txt").read_text())}
owners = packages_distributions()

class OnlyLocked:
    def find_spec(self, name, path=None, target=None):
        owner = {plain(one) for one in owners.get(name.partition(".")[0], [])}
        if owner and not owner & locked:
            raise ImportError(f"{name} is not in requirements-gateway.txt")

sys.meta_path.insert(0, OnlyLocked())
for name in sys.argv[1:]:
    import_module(name)
"""


def test_the_gateway_imports_only_what_its_image_holds() -> None:
    """Where all else than the lock's packages cannot be imported, what the gateway loads at once and later can."""
    ours = ["serving.__main__", "serving.gateway.commands", "serving.client.over_grpc", "serving.client.labels"]
    theirs = ["uvicorn.protocols.http.httptools_impl", "uvloop", "httpcore._backends.anyio", "anyio._backends._asyncio"]
    plugins = [f"PIL.{name}ImagePlugin" for name in ("Png", "Jpeg", "Gif", "WebP", "Bmp")]
    command = [sys.executable, "-c", ONLY_LOCKED, *ours, *theirs, *plugins]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
