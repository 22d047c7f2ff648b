"""What the API server would refuse in a document, told by the generated models of Kubernetes' own Python client."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from kubernetes import client

_QUANTITY = re.compile(r"\d+(\.\d+)?(m|k|[KMGTP]i?)?")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_QUANTITIES = {"limits", "requests", "capacity", "sizeLimit"}
_LABELS = {"labels", "matchLabels", "nodeSelector", "selector"}
_NUMBER_OR_NAME = {"port", "targetPort", "maxUnavailable", "minAvailable", "maxSurge"}  # typed `object` in the models
_SCALARS: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "bool": (bool,), "float": (int, float)}
# The models know no values; these are those of the fields that the manifests use, and of likely mistakes.
_VALUES = {
    "accessModes": {"ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"},
    "imagePullPolicy": {"Always", "IfNotPresent", "Never"},
    "operator": {"In", "NotIn", "Exists", "DoesNotExist"},
    "pathType": {"Exact", "Prefix", "ImplementationSpecific"},
    "persistentVolumeReclaimPolicy": {"Retain", "Delete", "Recycle"},
    "policyTypes": {"Ingress", "Egress"},
    "protocol": {"TCP", "UDP", "SCTP"},
    "reclaimPolicy": {"Retain", "Delete"},
    "restartPolicy": {"Always", "OnFailure", "Never"},
    "scheme": {"HTTP", "HTTPS"},
    "whenUnsatisfiable": {"DoNotSchedule", "ScheduleAnyway"},
    ("V1DeploymentStrategy", "type"): {"RollingUpdate", "Recreate"},
    ("V1HostPathVolumeSource", "type"): {"", "Directory", "DirectoryOrCreate", "File"},
    ("V1SeccompProfile", "type"): {"RuntimeDefault", "Localhost", "Unconfined"},
    ("V1ServiceSpec", "type"): {"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"},
    ("V2MetricSpec", "type"): {"Resource", "Pods", "Object", "External", "ContainerResource"},
    ("V2MetricTarget", "type"): {"Utilization", "Value", "AverageValue"},
}


def problems(document: dict[str, Any]) -> list[str]:
    """Returns what is wrong in a document: unknown or missing fields, wrong types, values that a field may not have."""
    kind, version = document.get("kind"), str(document.get("apiVersion")).rpartition("/")[2]
    name = f"{version[:1].upper()}{version[1:]}{kind}"
    if not hasattr(client, name):
        return [f"{kind}: there is no {kind} in {document.get('apiVersion')}"]
    if not _NAME.fullmatch(str(document.get("metadata", {}).get("name"))):
        return [f"{kind}: bad metadata.name"]
    return list(_of_type(name, document, str(kind), "", ""))


def _of_type(type_name: str, value: Any, where: str, owner: str, key: str) -> Iterator[str]:
    if type_name.startswith("list["):
        yield from _list(type_name[5:-1], value, where, owner, key)
    elif type_name.startswith("dict("):
        yield from _map(type_name[5:-1].partition(", ")[2], value, where, key)
    elif hasattr(client, type_name):
        yield from _model(type_name, value, where)
    else:
        yield from _scalar(type_name, value, where, owner, key)


def _list(item_type: str, value: Any, where: str, owner: str, key: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{where}: expected a list, got {value!r}"
        return
    for index, item in enumerate(value):
        yield from _of_type(item_type, item, f"{where}[{index}]", owner, key)


def _map(item_type: str, value: Any, where: str, key: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where}: expected a map, got {value!r}"
        return
    for name, item in value.items():
        inner = key if key in _QUANTITIES | _LABELS else ""
        yield from _of_type(item_type, item, f"{where}.{name}", "", inner)


def _model(name: str, value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where}: expected {name}, got {value!r}"
        return
    model = getattr(client, name)
    fields = {json: (python, model.openapi_types[python]) for python, json in model.attribute_map.items()}
    yield from (f"{where}: unknown field {key}" for key in value if key not in fields)
    known = {key: item for key, item in value.items() if key in fields}
    for key, item in known.items():
        yield from _of_type(fields[key][1], item, f"{where}.{key}", name, key)
    try:
        model(**{fields[key][0]: item for key, item in known.items()})
    except ValueError as error:  # a required field that is not there
        yield f"{where}: {error}"


def _scalar(type_name: str, value: Any, where: str, owner: str, key: str) -> Iterator[str]:
    if key in _QUANTITIES and isinstance(value, int | str) and not isinstance(value, bool):
        right = bool(_QUANTITY.fullmatch(str(value)))
    elif type_name == "object":
        right = key in _NUMBER_OR_NAME and type(value) in (int, str)
    else:
        right = isinstance(value, _SCALARS[type_name]) and (type_name == "bool" or not isinstance(value, bool))
    if not right:
        yield f"{where}: expected {type_name}, got {value!r}"
    elif key in _LABELS and not _LABEL.fullmatch(value):
        yield f"{where}: {value!r} cannot be a label"
    allowed = _VALUES.get((owner, key)) or _VALUES.get(key)
    if allowed and value not in allowed:
        yield f"{where}: expected one of {sorted(allowed)}, got {value!r}"
