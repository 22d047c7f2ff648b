"""The model server of a manifest: its flags, what is mounted where, and what asks it; and all of that moved to this machine."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tests.serving.deploy.kubernetes_references import named, pod
from tests.serving.deploy.manifests import COMPOSE, Document, compose, documents, kustomized, one

# What the image's entry point starts the server with, before the flags of the manifest. Its --model_name and --model_base_path
# are left out here: models.config overrides them in the real server, and ours refuses to be given both.
IMAGE_PORTS = {"port": 8500, "rest_api_port": 8501}
ROOT = "/srv/models"


@dataclass(frozen=True)
class Deployed:
    """A model server as a manifest has it; every path is the container's.

    Attributes:
      flags: of the server.
      root: where the serving root is mounted.
      files: path -> content, of the files that are mounted beside the root.
      commands: of the probes.
      urls: (port, path) of the probes and of Prometheus.
    """

    flags: tuple[str, ...]
    root: str
    files: dict[str, bytes]
    commands: tuple[tuple[str, ...], ...]
    urls: tuple[tuple[int, str], ...]

    def moved(self, root: Path, folder: Path) -> Moved:
        """Returns the same with `root` for the serving root, and the files in `folder`, under a digest of theirs."""
        words = [*self.flags, *(word for command in self.commands for word in command)]
        used = {path: content for path, content in sorted(self.files.items()) if any(path in word for word in words)}
        digest = hashlib.sha256(repr(used).encode()).hexdigest()[:16]
        places = {self.root: root}
        for path, content in used.items():
            place = folder / digest / PurePosixPath(path).relative_to("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
            places[path] = place

        def move(word: str) -> str:
            flag, equals, value = word.rpartition("=")
            for path, place in places.items():
                if PurePosixPath(value).is_relative_to(path):
                    return f"{flag}{equals}{place / PurePosixPath(value).relative_to(path)}".rstrip("/")
            return word  # nothing is mounted there, so nothing is there

        commands = tuple(tuple(map(move, command)) for command in self.commands)
        return Moved(tuple(map(move, self.flags)), commands, self.urls)


@dataclass(frozen=True)
class Moved:
    """Flags and probes of a manifest, whose paths are of this machine; the ports are still the container's."""

    flags: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]
    urls: tuple[tuple[int, str], ...]


def model_server(manifest: str) -> Deployed:
    """Returns the model server of `compose`, or of an overlay by its name."""
    return _of_compose() if manifest == "compose" else _of_kubernetes(kustomized(manifest))


def _of_compose() -> Deployed:
    services = compose(MODELS_ROOT=ROOT, MODEL_NAME="tiny")["services"]
    service, files, roots = services["model-server"], {}, []
    for mount in service["volumes"]:
        if mount["source"].startswith("."):
            folder = COMPOSE.parent / mount["source"]
            files |= {f"{mount['target']}/{path.name}": path.read_bytes() for path in folder.iterdir()}
        else:
            roots.append(mount["target"])
    (root,) = roots
    (scraped,) = documents((COMPOSE.parent.parent / "config" / "prometheus.yaml").read_text(encoding="utf-8"))
    urls = [
        (int(target.rpartition(":")[2]), job["metrics_path"])
        for job in scraped["scrape_configs"]
        for static in job["static_configs"]
        for target in static["targets"]
        if target.startswith("model-server:")
    ]
    return Deployed(tuple(service["command"]), root, files, (tuple(service["healthcheck"]["test"][1:]),), tuple(urls))


def _of_kubernetes(found: list[Document]) -> Deployed:
    deployment = one(found, "Deployment", "model-server")
    spec = pod(deployment)
    (container,) = spec["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    files = {
        f"{mounts[volume['name']]}/{name}": text.encode()
        for volume in spec["volumes"]
        if "configMap" in volume
        for name, text in named(found, "ConfigMap")[volume["configMap"]["name"]]["data"].items()
    }
    (root,) = (mounts[volume["name"]] for volume in spec["volumes"] if "persistentVolumeClaim" in volume)
    notes = deployment["spec"]["template"]["metadata"]["annotations"]
    urls = [(int(notes["prometheus.io/port"]), notes["prometheus.io/path"])]
    probes = [container[name] for name in ("startupProbe", "readinessProbe", "livenessProbe")]
    urls += [_url(probe["httpGet"], container) for probe in probes if "httpGet" in probe]
    commands = tuple(tuple(probe["exec"]["command"]) for probe in probes if "exec" in probe)
    return Deployed(tuple(container["args"]), root, files, commands, tuple(urls))


def _url(get: dict[str, Any], container: dict[str, Any]) -> tuple[int, str]:
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    return ports[get["port"]], get["path"]


def gateway_arguments(manifest: str) -> list[str]:
    """Returns what the gateway is started with in `compose`, or in an overlay by its name."""
    if manifest == "compose":
        return compose(MODELS_ROOT=ROOT, MODEL_NAME="tiny")["services"]["gateway"]["command"]
    found = kustomized(manifest)
    (container,) = pod(one(found, "Deployment", "gateway"))["containers"]
    (source,) = container["envFrom"]
    variables = named(found, "ConfigMap")[source["configMapRef"]["name"]]["data"]
    return [_expanded(word, variables) for word in container["args"]]


def _expanded(word: str, variables: dict[str, str]) -> str:
    return re.sub(r"\$\((\w+)\)", lambda match: variables[match[1]], word)
