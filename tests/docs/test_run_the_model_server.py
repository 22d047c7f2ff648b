"""docs/how-to/run-the-model-server.md: its commands, files, flags and code are right."""

from __future__ import annotations

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path

import grpc
import pytest

from serving import protocol
from serving.client import commands
from serving.server import admin, flags, tls
from serving.server.batching_parameters import read

pytestmark = pytest.mark.slow

PAGE = "run-the-model-server.md"
ROOT = Path(__file__).parents[2]
METHOD = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"


@pytest.fixture
def made(code_blocks, tmp_path: Path) -> Path:
    """A directory with the certificate, configuration and token that the page makes."""
    for block in code_blocks(PAGE, "sh"):
        if "openssl" in block:
            subprocess.run(["sh", "-e", "-c", block], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


def test_every_flag_it_names_is_taken_or_refused_as_it_says(capsys) -> None:
    page = (ROOT / "docs" / "how-to" / PAGE).read_text(encoding="utf-8")
    refused = set(re.findall(r"`--(\w+)`", page.rpartition("are refused, since")[2]))
    assert refused == flags._NOT_HERE
    with pytest.raises(SystemExit):
        commands.predict(["--help"])
    of_predict = set(re.findall(r"--(\w+)", capsys.readouterr().out))
    named = set(re.findall(r"(?:`|\s)--([a-z]\w*_\w+)", page)) - refused
    assert len(named) > 15
    assert named - {flag.name for flag in fields(flags.Flags)} - of_predict == set()


def test_its_certificate_configuration_and_token_are_taken(made: Path) -> None:
    assert tls.read(made / "ssl.config").certificate == (made / "cert.pem").read_text()
    assert (made / "ssl.config").stat().st_mode & 0o077 == 0
    assert len(admin.read_token(made / "token", host="0.0.0.0", encrypted=True)) == 64


def test_its_batching_file_is_the_shipped_one(code_blocks) -> None:
    (block,) = code_blocks(PAGE, "proto")
    assert read(block) == read((ROOT / "serving" / "deploy" / "config" / "batching.config").read_text(encoding="utf-8"))


def test_its_reload_sends_all_models_and_the_token(code_blocks, made: Path, monkeypatch) -> None:
    monkeypatch.chdir(made)
    request, response = (protocol.message(f"tensorflow.serving.{name}") for name in protocol.METHODS[METHOD])
    seen = []

    def answer(asked, context):
        seen.append((asked, dict(context.invocation_metadata())["authorization"]))
        return response()

    handler = grpc.unary_unary_rpc_method_handler(
        answer, request_deserializer=request.FromString, response_serializer=response.SerializeToString
    )
    service, _, method = METHOD[1:].partition("/")
    server = grpc.server(ThreadPoolExecutor(1), [grpc.method_handlers_generic_handler(service, {method: handler})])
    port = server.add_secure_port("127.0.0.1:0", tls.read(made / "ssl.config").grpc_credentials())
    server.start()
    (code,) = code_blocks(PAGE, "python")
    exec(compile(code.replace("localhost:8500", f"localhost:{port}"), PAGE, "exec"), {})
    server.stop(0)
    ((asked, authorization),) = seen
    assert [model.base_path for model in asked.config.model_config_list.config] == ["/srv/models/digits", "/srv/models/fish"]
    admin.authorise([("authorization", authorization)], admin.read_token(made / "token", host="::1", encrypted=False))
