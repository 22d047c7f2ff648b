"""What no schema sees: whether the names in a set of documents lead somewhere."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any

from tests.serving.deploy.manifests import Document

Labels = dict[str, str]


def problems(found: list[Document]) -> list[str]:
    """Returns every name, port and path that leads nowhere."""
    return [*_workloads(found), *_services(found), *_scaling(found), *_ingresses(found), *_volumes(found)]


def named(found: list[Document], kind: str) -> dict[str, Document]:
    return {document["metadata"]["name"]: document for document in found if document["kind"] == kind}


def pod(deployment: Document) -> dict[str, Any]:
    return deployment["spec"]["template"]["spec"]


def labels(deployment: Document) -> Labels:
    return deployment["spec"]["template"]["metadata"]["labels"]


def selects(selector: dict[str, Any], of: Labels) -> bool:
    """Tells whether a label selector, with matchLabels and matchExpressions of `In`, takes something with these labels."""
    assert set(selector) <= {"matchLabels", "matchExpressions"}
    exact = all(of.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    return exact and all(of.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", []))


def _workloads(found: list[Document]) -> Iterator[str]:
    for name, deployment in named(found, "Deployment").items():
        if not selects(deployment["spec"]["selector"], labels(deployment)):
            yield f"{name}: its selector does not take its own pods"
        if pod(deployment)["serviceAccountName"] not in named(found, "ServiceAccount"):
            yield f"{name}: no such service account"
        for spread in pod(deployment).get("topologySpreadConstraints", []):
            if not selects(spread["labelSelector"], labels(deployment)):
                yield f"{name}: spreads other pods than its own"
        for container in pod(deployment)["containers"]:
            yield from _container(name, container, pod(deployment), found)


def _container(name: str, container: dict[str, Any], spec: dict[str, Any], found: list[Document]) -> Iterator[str]:
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    mounted = [mount["name"] for mount in container["volumeMounts"]]
    if set(mounted) != set(volumes):
        yield f"{name}: mounts {mounted}, has the volumes {sorted(volumes)}"
    for source in container.get("envFrom", []):
        if source["configMapRef"]["name"] not in named(found, "ConfigMap"):
            yield f"{name}: no config map {source['configMapRef']['name']}"
    ports = {port["name"] for port in container.get("ports", [])}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        get = container.get(probe, {}).get("httpGet")
        if get and get["port"] not in ports:
            yield f"{name}: {probe} asks port {get['port']}"
        for word in container.get(probe, {}).get("exec", {}).get("command", []):
            if word.startswith("/") and file_in(container, spec, word, found) is None:
                yield f"{name}: {probe} names {word}"


def file_in(container: dict[str, Any], spec: dict[str, Any], path: str, found: list[Document]) -> str | None:
    """Returns the text of a file that a config map mounts at a path, "" for any path in another mount, None for no mount."""
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    for mount in container["volumeMounts"]:
        volume = volumes.get(mount["name"], {})
        if not PurePosixPath(path).is_relative_to(mount["mountPath"]):
            continue
        if "configMap" in volume:
            data = named(found, "ConfigMap").get(volume["configMap"]["name"], {}).get("data", {})
            return data.get(str(PurePosixPath(path).relative_to(mount["mountPath"])))
        return ""
    return None


def _services(found: list[Document]) -> Iterator[str]:
    for name, service in named(found, "Service").items():
        behind = [each for each in named(found, "Deployment").values() if _taken(service, each)]
        if not behind:
            yield f"service {name}: takes no pods"
        for deployment in behind:
            open_ports = {port["name"]: port["containerPort"] for port in pod(deployment)["containers"][0].get("ports", [])}
            for port in service["spec"]["ports"]:
                number = open_ports.get(port["targetPort"])
                if number is None:
                    yield f"service {name}: no port {port['targetPort']} in its pods"
                elif service["spec"].get("clusterIP") == "None" and number != port["port"]:
                    yield f"service {name}: nothing translates port {port['port']} to {number} where there is no cluster IP"


def _taken(service: Document, deployment: Document) -> bool:
    return selects({"matchLabels": service["spec"]["selector"]}, labels(deployment))


def _scaling(found: list[Document]) -> Iterator[str]:
    for name, scaler in named(found, "HorizontalPodAutoscaler").items():
        if scaler["spec"]["scaleTargetRef"]["name"] not in named(found, "Deployment"):
            yield f"autoscaler {name}: no such deployment"
    for name, budget in named(found, "PodDisruptionBudget").items():
        if not any(selects(budget["spec"]["selector"], labels(each)) for each in named(found, "Deployment").values()):
            yield f"budget {name}: takes no pods"


def _ingresses(found: list[Document]) -> Iterator[str]:
    for name, ingress in named(found, "Ingress").items():
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                ports = named(found, "Service").get(service["name"], {"spec": {"ports": []}})["spec"]["ports"]
                if service["port"]["name"] not in [port["name"] for port in ports]:
                    yield f"ingress {name}: no service {service['name']} with port {service['port']['name']}"


def _volumes(found: list[Document]) -> Iterator[str]:
    claims = named(found, "PersistentVolumeClaim")
    for name, deployment in named(found, "Deployment").items():
        for volume in pod(deployment)["volumes"]:
            claim, config = volume.get("persistentVolumeClaim"), volume.get("configMap")
            if claim and claim["claimName"] not in claims:
                yield f"{name}: no claim {claim['claimName']}"
            if config and config["name"] not in named(found, "ConfigMap"):
                yield f"{name}: no config map {config['name']}"
    for name, volume in named(found, "PersistentVolume").items():
        claim = claims.get(volume["spec"]["claimRef"]["name"], {"spec": {}})["spec"]
        if claim.get("volumeName") != name or claim["storageClassName"] != volume["spec"]["storageClassName"]:
            yield f"volume {name}: its claim does not ask for it"
        elif not set(claim["accessModes"]) <= set(volume["spec"]["accessModes"]):
            yield f"volume {name}: its claim asks for other access"
        elif volume["spec"]["storageClassName"] not in {"", *named(found, "StorageClass")}:
            yield f"volume {name}: no storage class {volume['spec']['storageClassName']}"


class Network:
    """What the network policies of a set of documents let through.

    A peer is (labels of its namespace, labels of its pod), or an address.
    """

    def __init__(self, found: list[Document], own: Labels) -> None:
        self._policies = [policy["spec"] for policy in named(found, "NetworkPolicy").values()]
        self._own = own

    def allows(self, source: tuple[Labels, Labels] | str, target: tuple[Labels, Labels] | str, port: int) -> bool:
        """Tells whether a TCP connection goes through: out of its source, and into its target."""
        return self._passes("Egress", source, target, port) and self._passes("Ingress", target, source, port)

    def _passes(self, way: str, at: tuple[Labels, Labels] | str, peer: tuple[Labels, Labels] | str, port: int) -> bool:
        if isinstance(at, str) or at[0] != self._own:
            return True  # these policies say nothing about others
        policies = [each for each in self._policies if way in each["policyTypes"] and selects(each["podSelector"], at[1])]
        rules = [rule for policy in policies for rule in policy.get(way.lower(), [])]
        key = "from" if way == "Ingress" else "to"
        return not policies or any(self._in(rule.get(key), peer) and _of_ports(rule.get("ports"), port) for rule in rules)

    def _in(self, peers: Iterable[dict[str, Any]] | None, peer: tuple[Labels, Labels] | str) -> bool:
        return peers is None or any(self._is(each, peer) for each in peers)

    def _is(self, rule: dict[str, Any], peer: tuple[Labels, Labels] | str) -> bool:
        if isinstance(peer, str) or "ipBlock" in rule:
            return isinstance(peer, str) and "ipBlock" in rule and _within(rule["ipBlock"], peer)
        namespace = selects(rule["namespaceSelector"], peer[0]) if "namespaceSelector" in rule else peer[0] == self._own
        return namespace and selects(rule.get("podSelector", {}), peer[1])


def _of_ports(ports: list[dict[str, Any]] | None, port: int) -> bool:
    return ports is None or any(each["port"] == port and each["protocol"] == "TCP" for each in ports)


def _within(block: dict[str, Any], address: str) -> bool:
    place = ipaddress.ip_address(address)
    return place in ipaddress.ip_network(block["cidr"]) and not any(
        place in ipaddress.ip_network(each) for each in block.get("except", [])
    )
