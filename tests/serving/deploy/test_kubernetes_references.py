"""Whether what the manifests name is there, who may reach whom, and what a container may do."""

from __future__ import annotations

from typing import Any

import pytest

from tests.serving.deploy.kubernetes_references import Network, named, pod, problems
from tests.serving.deploy.manifests import OVERLAYS, kustomized, one

OWN = {"kubernetes.io/metadata.name": "fedtfx"}
NODE = "10.0.7.9"


def namespace(name: str) -> dict[str, str]:
    return {"kubernetes.io/metadata.name": name}


def of(name: str) -> tuple[dict[str, str], dict[str, str]]:
    """A pod of ours."""
    return OWN, {"app.kubernetes.io/name": name}


PROMETHEUS = (namespace("monitoring"), {"app.kubernetes.io/name": "prometheus"})
DNS = (namespace("kube-system"), {"k8s-app": "kube-dns"})


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_name_port_and_path_leads_somewhere(overlay: str) -> None:
    assert problems(kustomized(overlay)) == []


@pytest.mark.parametrize(
    ("kind", "name", "path", "value"),
    [
        ("Deployment", "model-server", "spec.selector.matchLabels", {"app.kubernetes.io/name": "server"}),
        ("Deployment", "model-server", "spec.template.spec.serviceAccountName", "server"),
        ("Deployment", "model-server", "spec.template.spec.volumes.0.persistentVolumeClaim.claimName", "model"),
        ("Deployment", "model-server", "spec.template.spec.volumes.1.configMap.name", "model-server-config"),
        ("Deployment", "model-server", "spec.template.spec.containers.0.volumeMounts.0.name", "model"),
        ("Deployment", "model-server", "spec.template.spec.containers.0.livenessProbe.httpGet.port", "http"),
        ("Deployment", "model-server", "spec.template.spec.containers.0.startupProbe.exec.command.1", "/etc/serving/ready.sh"),
        (
            "Deployment",
            "model-server",
            "spec.template.spec.containers.0.readinessProbe.exec.command.3",
            "/models/models.config",
        ),
        ("Deployment", "gateway", "spec.template.spec.containers.0.envFrom.0.configMapRef.name", "gateway"),
        ("Service", "gateway", "spec.selector", {"app.kubernetes.io/name": "gate"}),
        ("Service", "gateway", "spec.ports.0.targetPort", "rest"),
        ("Service", "model-server", "spec.ports.0.port", 80),
        ("HorizontalPodAutoscaler", "gateway", "spec.scaleTargetRef.name", "gate"),
        ("PodDisruptionBudget", "gateway", "spec.selector.matchLabels", {"app.kubernetes.io/name": "gate"}),
        ("Ingress", "gateway", "spec.rules.0.http.paths.0.backend.service.port.name", "https"),
        ("PersistentVolume", "fedtfx-models", "spec.storageClassName", "efs"),
        ("PersistentVolume", "fedtfx-models", "spec.accessModes", ["ReadOnlyMany"]),
    ],
)
def test_a_name_that_leads_nowhere_is_seen(kind: str, name: str, path: str, value: Any) -> None:
    found = kustomized("eks")
    *above, last = path.split(".")
    owner = one(found, kind, name)
    for part in above:
        owner = owner[int(part)] if isinstance(owner, list) else owner[part]
    owner[int(last) if isinstance(owner, list) else last] = value
    assert len(problems(found)) >= 1


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_network_lets_through_what_is_needed(overlay: str) -> None:
    network = Network(kustomized(overlay), OWN)
    needed = [
        (of("gateway"), of("model-server"), 8500),
        (of("releases"), of("model-server"), 8500),
        (PROMETHEUS, of("model-server"), 8501),
        (PROMETHEUS, of("gateway"), 8080),
        (of("gateway"), DNS, 53),
        (of("releases"), DNS, 53),
        (of("gateway"), "93.184.216.34", 443),
        ({"base": (namespace("ingress-nginx"), {}), "local": NODE, "eks": NODE}[overlay], of("gateway"), 8080),
    ]
    assert [way for way in needed if not network.allows(*way)] == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_network_lets_nothing_else_through(overlay: str) -> None:
    network = Network(kustomized(overlay), OWN)
    refused = [
        (of("gateway"), of("model-server"), 8501),
        (of("another"), of("model-server"), 8500),
        (of("model-server"), of("gateway"), 9090),
        ((namespace("default"), {"app.kubernetes.io/name": "gateway"}), of("model-server"), 8500),
        ((namespace("default"), PROMETHEUS[1]), of("model-server"), 8501),
        ("93.184.216.34", of("model-server"), 8500),
        (NODE, of("model-server"), 8501),
        (of("model-server"), "93.184.216.34", 443),
        (of("releases"), "93.184.216.34", 443),
        (of("gateway"), "169.254.169.254", 80),
        (of("gateway"), "10.0.7.9", 80),
        (of("gateway"), "192.168.1.1", 443),
        (of("gateway"), "93.184.216.34", 22),
    ]
    assert [way for way in refused if network.allows(*way)] == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_container_can_do_no_more_than_it_must(overlay: str) -> None:
    for name, deployment in named(kustomized(overlay), "Deployment").items():
        spec = pod(deployment)
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] > 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in spec["containers"]:
            rights = container["securityContext"]
            assert rights["readOnlyRootFilesystem"] and not rights["allowPrivilegeEscalation"], name
            assert rights["capabilities"] == {"drop": ["ALL"]}, name
            assert {"cpu", "memory"} == set(container["resources"]["limits"]) == set(container["resources"]["requests"]), name
            assert container["image"].rpartition(":")[2] not in ("", "latest"), name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_releases_can_write_the_models(overlay: str) -> None:
    for name, deployment in named(kustomized(overlay), "Deployment").items():
        mounts = [mount for mount in pod(deployment)["containers"][0]["volumeMounts"] if mount["name"] == "models"]
        writable = [mount for mount in mounts if not mount.get("readOnly")]
        assert bool(writable) == (name == "releases")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_everything_lies_in_one_namespace(overlay: str) -> None:
    found = kustomized(overlay)
    without = {"Namespace", "PersistentVolume", "StorageClass"}
    assert {document["metadata"].get("namespace") for document in found if document["kind"] not in without} == {"fedtfx"}


def test_only_the_gateway_has_a_way_in() -> None:
    for overlay in OVERLAYS:
        found = kustomized(overlay)
        types = {name: service["spec"].get("type", "ClusterIP") for name, service in named(found, "Service").items()}
        assert {name for name, kind in types.items() if kind != "ClusterIP"} | set(named(found, "Ingress")) <= {"gateway"}


def test_a_pod_outlives_the_requests_it_has_taken() -> None:
    for deployment in named(kustomized("base"), "Deployment").values():
        if deployment["metadata"]["name"] != "releases":
            (container,) = pod(deployment)["containers"]
            leaving = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
            assert pod(deployment)["terminationGracePeriodSeconds"] >= leaving + 30  # the longest that a request runs
