"""Where a stranger's URL may lead. The server is a real one on loopback, which the settings allow by its network; the resolver
says where names are, as a name server in a stranger's hands would."""

from __future__ import annotations

import ipaddress
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anyio
import pytest

from serving.gateway.addresses import is_allowed
from serving.gateway.fetching import Fetcher, resolve
from serving.gateway.refusals import Refusal
from serving.gateway.settings import Settings

PICTURE = b"\x89PNG picture"


class Pages(BaseHTTPRequestHandler):
    """Paths that say what they do."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        match self.path.strip("/").split("/"):
            case ["picture"]:
                self._reply(200, PICTURE, "image/png; a=b")
            case ["to", *place]:
                self._reply(302, b"", "text/html", Location="/".join(place).replace("@", "//"))
            case ["hop", "0"]:
                self._reply(200, PICTURE, "image/png")
            case ["hop", left]:
                self._reply(301, b"", "text/html", Location=f"/hop/{int(left) - 1}")
            case ["type", kind]:
                self._reply(200, PICTURE, kind.replace("_", "/"))
            case ["large"]:
                self._reply(200, bytes(2_000_000), "image/png")
            case ["packed"]:
                self._reply(200, PICTURE, "image/png", **{"Content-Encoding": "gzip"})
            case ["slow"]:
                self.server.done.wait(30)
            case ["junk"]:
                self.wfile.write(b"junk\r\n\r\n")
            case _:
                self._reply(404, b"", "text/plain")

    def _reply(self, status: int, body: bytes, kind: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        pass


@pytest.fixture(scope="module")
def host():
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        server.asked, server.done = [], threading.Event()
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.done.set()
        server.shutdown()


@pytest.fixture
def fetch(host):
    """Fetches `url`, in which PORT is the server's, with names found at the addresses given one after the other."""
    host.asked.clear()

    def run(url: str, *answers: list[str], **changes) -> bytes:
        left = list(answers) or [["127.0.0.1"]]

        async def resolver(name: str, port: int) -> list[str]:
            if name.replace(".", "").isdecimal():
                return await resolve(name, port)
            return left.pop(0) if len(left) > 1 else left[0]

        allowed = {
            "image_url_ports": (80, 443, host.server_port),
            "image_url_networks": (ipaddress.ip_network("127.0.0.1/32"),),
            "max_upload_bytes": 1_000_000,
            "timeout": 5.0,
        }
        settings = Settings(server="grpc://-", model_name="-", allow_image_urls=True, **{**allowed, **changes})
        return anyio.run(Fetcher(settings, resolver).fetch, url.replace("PORT", str(host.server_port)))

    return run


def test_a_picture_is_fetched(fetch) -> None:
    assert fetch("http://pictures.example:PORT/picture") == PICTURE


def test_the_second_address_is_tried_when_the_first_does_not_answer(fetch) -> None:
    networks = (ipaddress.ip_network("127.0.0.0/30"),)
    assert fetch("http://h.example:PORT/picture", ["127.0.0.2", "127.0.0.1"], image_url_networks=networks) == PICTURE


def test_three_redirects_are_followed_and_no_fourth(fetch) -> None:
    assert fetch("http://h.example:PORT/hop/3") == PICTURE
    with pytest.raises(Refusal, match="more than 3 times"):
        fetch("http://h.example:PORT/hop/4")


NOT_PUBLIC = [
    ["127.0.0.2"],
    ["10.0.0.1"],
    ["169.254.169.254"],
    ["0.0.0.0"],
    ["::1"],
    ["::ffff:127.0.0.1"],
    ["fe80::1%eth0"],
    ["127.0.0.1", "192.168.0.1"],
    [],
]


@pytest.mark.parametrize("addresses", NOT_PUBLIC, ids=str)
def test_a_name_with_any_address_that_is_not_public_is_refused_before_connecting(fetch, host, addresses: list[str]) -> None:
    with pytest.raises(Refusal, match="not public") as raised:
        fetch("http://evil.example:PORT/picture", addresses)
    assert raised.value.status == 422
    assert host.asked == []


def test_a_redirect_is_checked_as_the_first_url_is(fetch, host) -> None:
    with pytest.raises(Refusal, match="not public"):
        fetch(
            "http://h.example:PORT/to/http:@evil.example:PORT/picture".replace("PORT", str(host.server_port)),
            ["127.0.0.1"],
            ["127.0.0.2"],
        )
    assert len(host.asked) == 1


def test_a_name_that_moves_after_the_check_is_connected_to_where_it_was_checked(fetch, host) -> None:
    """The name server answers a public address first and a private one then; only one answer is ever used."""
    assert fetch("http://rebinding.example:PORT/picture", ["127.0.0.1"], ["127.0.0.2"]) == PICTURE
    assert host.asked == ["/picture"]


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "gopher://h.example/",
        "ftp://h.example/a.png",
        "//h.example/a.png",
        "h.example/a.png",
        "http://",
        "http:///a.png",
        "http://h.example:22/",
        "http://h.example:0/",
        "http://h.example:99999/",
        "http://user:word@h.example/",
        "http://h.example@127.0.0.2/",
        "http://127.0.0.2#@h.example/",
        "http://h.example\\@127.0.0.2/",
        "http://h.exa mple/",
        "http://h.example/\r\nHost: other",
        "http://127.0.0.2/",
        "http://2130706434/",
        "http://0x7f000002/",
        "http://0177.0.0.2/",
        "http://127.2/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.2]/",
        "http://[::127.0.0.2]/",
        "http://[64:ff9b::7f00:2]/",
        "http://[2002:7f00:2::]/",
        "http://[fe80::1%25lo]/",
        "http://[::1",
        "http://0/",
        "http://ⓔxample.ⓒom:22/",
        "http://h.example/" + "a" * 3000,
        "http://..example/",
    ],
)
def test_urls_that_lead_elsewhere_are_refused(fetch, host, url: str) -> None:
    with pytest.raises(Refusal) as raised:
        fetch(url, ["127.0.0.2"])
    assert raised.value.status == 422
    assert host.asked == []


@pytest.mark.parametrize(
    "place", ["file:@etc/passwd", "http:@h.example:22/", "http:@a:b@127.0.0.2/", "http:@[::1]/", "gopher:@h"]
)
def test_redirects_that_lead_elsewhere_are_refused(fetch, place: str) -> None:
    with pytest.raises(Refusal) as raised:
        fetch(f"http://h.example:PORT/to/{place}", ["127.0.0.1"], ["127.0.0.2"])
    assert raised.value.status in (422, 502)


@pytest.mark.parametrize(
    ("path", "status"),
    [("missing", 502), ("large", 413), ("packed", 502), ("junk", 502), ("type/text_html", 415), ("type/image_svg+xml", 415)],
)
def test_what_is_no_picture_of_pixels_is_refused(fetch, path: str, status: int) -> None:
    with pytest.raises(Refusal) as raised:
        fetch(f"http://h.example:PORT/{path}")
    assert raised.value.status == status


def test_a_host_that_does_not_answer_is_given_up(fetch) -> None:
    with pytest.raises(Refusal) as raised:
        fetch("http://h.example:PORT/slow", timeout=0.2)
    assert raised.value.status == 504


def test_a_host_that_is_not_there_is_told(fetch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(Refusal) as raised:
            fetch(f"http://h.example:{port}/", image_url_ports=(port,))
    assert raised.value.status == 502


def test_a_certificate_is_asked_for_by_the_hosts_name(fetch, host) -> None:
    with pytest.raises(Refusal) as raised:  # the server speaks no TLS
        fetch(f"https://h.example:{host.server_port}/picture", timeout=2)
    assert raised.value.status in (502, 504)


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001::1"])
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_allowed(address)


NOT_ALLOWED = """
0.0.0.0 0.1.2.3 10.255.255.255 100.64.0.1 127.0.0.1 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.8
192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.1.1.1 240.0.0.1
255.255.255.255 :: ::1 ::7f00:1 ::ffff:8.8.8.8 ::ffff:0:8.8.8.8 64:ff9b::808:808 64:ff9b:1::1 100::1
2001::1 2001:db8::1 2002:808:808::1 3fff::1 4000::1 5f00::1 fc00::1 fd12::1 fe80::1 fec0::1 ff02::1
fe80::1%eth0 localhost 1.2.3 01.2.3.4
"""


@pytest.mark.parametrize("address", NOT_ALLOWED.split())
def test_all_others_are_not(address: str) -> None:
    assert not is_allowed(address)
