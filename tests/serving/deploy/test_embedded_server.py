"""The model server of every manifest, started: the embedded server with the manifest's flags, files and probes.

A container sees the serving root and some files at paths of its own. Here the same bytes lie in a temporary directory, every
path in flags and probes that lies in a mount is moved there, and one that lies in none is left, where nothing is. Ports are
free. Manifests whose flags and files are alike after that share a server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import portpicker
import pytest
import requests

from serving import layout
from tests.serving.deploy.deployed import Deployed, Moved, gateway_arguments, model_server
from tests.serving.deploy.manifests import DEPLOY, compose, kustomized, one
from tests.serving.deploy.running import Image, Running

pytestmark = pytest.mark.slow

MANIFESTS = ("compose", "base", "local", "eks")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A serving root with a model that doubles, pushed as the pipeline does it."""
    import tensorflow as tf

    class Doubles(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
        def __call__(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"y": 2 * x}

    folder = tmp_path_factory.mktemp("deployed")
    model = Doubles()
    tf.saved_model.save(model, str(folder / "exported"), {"serving_default": model.__call__})
    layout.publish(folder / "exported", folder / "root" / "tiny", now=lambda: 7)
    return folder / "root"


@pytest.fixture(scope="module")
def start(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Deployed], tuple[Running, Moved]]]:
    """Moves a manifest's server here and starts it, unless one with the same flags and files runs."""
    folder, running = tmp_path_factory.mktemp("mounted"), {}

    def run(deployed: Deployed) -> tuple[Running, Moved]:
        moved = deployed.moved(root, folder)
        if moved.flags not in running:
            running[moved.flags] = Running(moved)
        return running[moved.flags], moved

    yield run
    for server in running.values():
        server.process.kill()
        server.process.wait()


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_the_server_of_a_manifest_answers(start, manifest: str) -> None:
    server, _ = start(model_server(manifest))
    assert server.process.poll() is None, "".join(server.log)
    assert server.predict().json() == {"predictions": [2.0, 4.0]}


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_its_probes_succeed(start, manifest: str) -> None:
    server, moved = start(model_server(manifest))
    assert len(moved.commands) == (1 if manifest == "compose" else 2)
    for command in moved.commands:
        ended = server.probe(command)
        assert ended.returncode == 0, ended.stderr
    assert [server.get(port, path).status_code for port, path in moved.urls] == [200] * len(moved.urls)


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_prometheus_finds_every_series_that_an_alert_names(start, manifest: str) -> None:
    server, moved = start(model_server(manifest))
    server.predict()
    named = set(re.findall(r":tensorflow:\w+(?::\w+)*", (DEPLOY / "config" / "alerts.yaml").read_text(encoding="utf-8")))
    assert named
    found = set(re.findall(r"^(\S+?)\{", server.get(*moved.urls[0]).text, re.MULTILINE))
    assert named <= found


def test_no_manifest_sets_the_ports_that_the_image_sets() -> None:
    for manifest in MANIFESTS:
        assert not [flag for flag in model_server(manifest).flags if re.match(r"--(rest_api_)?port\b", flag)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("--enable_batching=true", "--enable_batchin=true"),
        ("--monitoring_config_file=/etc/serving/monitoring.config", "--monitoring_config_file=/etc/serving/monitor.config"),
        ("--model_config_file=/srv/models/models.config", "--model_config_file=/models/models.config"),
    ],
)
def test_a_wrong_flag_or_path_in_a_manifest_is_seen(start, old: str, new: str) -> None:
    right = model_server("base")
    assert old in right.flags
    server, _ = start(replace(right, flags=tuple(new if flag == old else flag for flag in right.flags)))
    assert new.partition("=")[2] in server.log[-1] or new.partition("=")[0] in server.log[-1]
    assert "AVAILABLE" not in "".join(server.log)
    assert server.process.poll() or server.predict().status_code == 404


@pytest.mark.parametrize(
    ("names", "every", "any_"),
    [
        (["tiny"], 0, 0),
        (["tiny", "broken"], 1, 0),
        (["broken"], 1, 1),
        ([], 1, 1),
    ],
)
def test_the_probe_tells_which_models_are_available(start, tmp_path: Path, names: list[str], every: int, any_: int) -> None:
    server, moved = start(model_server("base"))
    config = tmp_path / "models.config"
    entries = [f'config {{ name: "{name}" base_path: "/srv/models/name: {name}" }}' for name in names]
    config.write_text(f'# name: "other"\nmodel_config_list {{ {" ".join(entries)} }}', encoding="utf-8")
    script = moved.commands[0][1]
    assert server.probe(("bash", script, "every", str(config), "8501")).returncode == every
    assert server.probe(("bash", script, "any", str(config), "8501")).returncode == any_


def test_the_probe_fails_where_no_server_listens_or_no_config_is(start, root: Path, tmp_path: Path) -> None:
    server, moved = start(model_server("base"))
    script, nobody = moved.commands[0][1], str(portpicker.pick_unused_port())
    assert server.probe(("bash", script, "any", str(root / "models.config"), nobody)).returncode == 1
    assert server.probe(("bash", script, "any", str(tmp_path / "models.config"), "8501")).returncode == 1


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return Image(tmp_path_factory.mktemp("image"))


@pytest.mark.parametrize("manifest", ["compose", "base"])
def test_the_gateway_of_a_manifest_is_ready_and_its_probes_succeed(start, image: Image, manifest: str) -> None:
    server, _ = start(model_server("base"))
    port = portpicker.pick_unused_port()
    moved = {
        "--host": "127.0.0.1",
        "--port": port,
        "--server": f"grpc://127.0.0.1:{server.ports[8500]}",
        "--model_name": "tiny",
    }
    given = {word.partition("=")[0]: word for word in gateway_arguments(manifest)}
    assert set(moved) <= set(given)
    gateway = image.run(*(f"{name}={moved[name]}" if name in moved else word for name, word in given.items()))
    try:
        first = gateway.stderr.readline()
        assert gateway.poll() is None, first
        for path in gateway_paths(image, manifest):
            assert requests.get(f"http://127.0.0.1:{port}{path}", timeout=20).status_code == 200, path
    finally:
        gateway.kill()
        gateway.communicate()


def gateway_paths(image: Image, manifest: str) -> list[str]:
    """What asks the gateway: probes, health checks and Prometheus."""
    if manifest == "compose":
        service = compose(MODELS_ROOT="/srv/models", MODEL_NAME="tiny")["services"]["gateway"]
        checks = [*image.command("HEALTHCHECK"), *service["healthcheck"]["test"]]
        return [*re.findall(r"http://127\.0\.0\.1:8080(/\w+)", " ".join(checks)), "/metrics"]
    template = one(kustomized(manifest), "Deployment", "gateway")["spec"]["template"]
    (container,) = template["spec"]["containers"]
    probes = [container[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")]
    return [*probes, template["metadata"]["annotations"]["prometheus.io/path"]]


def test_the_same_gateway_is_started_everywhere() -> None:
    assert gateway_arguments("base") == gateway_arguments("local") == gateway_arguments("eks")
