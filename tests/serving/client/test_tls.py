"""Encrypted connections, to real servers with certificates of an authority of our own."""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from errors import ConfigError
from serving.client import RequestError, connect


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with key.pem and certificate.pem, which signed itself, for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    place = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    begin, end = datetime.datetime(2020, 1, 1), datetime.datetime(2120, 1, 1)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    made = made.not_valid_before(begin).not_valid_after(end).add_extension(place, critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    folder = tmp_path_factory.mktemp("tls")
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
    (folder / "certificate.pem").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(pem))
    return folder


class Status(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"model_version_status": []}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        pass


@pytest.fixture(scope="module")
def plain_port():
    """A server that speaks HTTP without encryption."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Status) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture(scope="module")
def rest(files: Path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files / "certificate.pem", files / "key.pem")
    with ThreadingHTTPServer(("127.0.0.1", 0), Status) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def encrypted(files: Path):
    """A gRPC server without services: what reaches it is answered UNIMPLEMENTED."""
    server = grpc.server(ThreadPoolExecutor(1))
    pair = ((files / "key.pem").read_bytes(), (files / "certificate.pem").read_bytes())
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    server.start()
    yield f"grpcs://127.0.0.1:{port}"
    server.stop(None)


def test_a_trusted_authority_lets_rest_through(rest: str, files: Path) -> None:
    with connect(rest, ca_file=files / "certificate.pem") as client:
        assert client.status("m") == []


def test_a_trusted_authority_lets_grpc_through(encrypted: str, files: Path) -> None:
    with connect(encrypted, ca_file=files / "certificate.pem") as client, pytest.raises(RequestError, match="UNIMPLEMENTED"):
        client.status("m")


@pytest.mark.parametrize("kind", ["rest", "encrypted"])
def test_a_certificate_that_nobody_trusts_is_refused_at_once(request, kind: str) -> None:
    with connect(request.getfixturevalue(kind), timeout=5) as client, pytest.raises(RequestError) as raised:
        client.status("m")
    assert (raised.value.code, raised.value.transient) == ("UNAVAILABLE", False)
    assert str(raised.value).endswith("the server's certificate is not trusted; give --ca_file with its authority's PEM file.")


@pytest.mark.parametrize(("kind", "plain"), [("rest", "http"), ("encrypted", "grpc")])
def test_a_server_without_encryption_asked_with_it_and_the_reverse_are_told(request, plain_port, kind: str, plain: str) -> None:
    port = request.getfixturevalue(kind).rpartition(":")[2]
    with connect(f"{plain}://127.0.0.1:{port}", timeout=5, retries=0) as client, pytest.raises(RequestError, match="wants TLS"):
        client.status("m")
    with connect(f"{plain}s://127.0.0.1:{plain_port}", timeout=5) as client, pytest.raises(RequestError) as raised:
        client.status("m")
    assert "does not speak TLS on this port" in str(raised.value)


@pytest.mark.parametrize("address", ["grpcs://127.0.0.1:1", "https://127.0.0.1:1"])
def test_a_file_that_is_no_certificate_is_told_in_one_line(address: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="PEM file"):
        connect(address, ca_file=tmp_path / "missing.pem")
