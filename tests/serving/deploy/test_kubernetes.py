"""Every document that kustomize builds, held against the models of Kubernetes' client."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.serving.deploy.kubernetes_schema import problems
from tests.serving.deploy.manifests import OVERLAYS, kustomized, one

pytestmark = pytest.mark.slow

# Their keys are the writer's own.
FREE = {"labels", "matchLabels", "annotations", "data", "limits", "requests", "capacity", "nodeSelector", "selector"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_document_is_what_kubernetes_expects(overlay: str) -> None:
    found = kustomized(overlay)
    assert len(found) >= 18
    assert [problem for document in found for problem in problems(document)] == []


def test_no_two_documents_have_the_same_name() -> None:
    for overlay in OVERLAYS:
        names = [(document["kind"], document["metadata"]["name"]) for document in kustomized(overlay)]
        assert len(names) == len(set(names))


def places(value: Any, inside: str = "") -> Iterator[tuple[dict[str, Any], str]]:
    """Yields each map whose keys are Kubernetes', with each key."""
    if isinstance(value, dict):
        for key, item in value.items():
            if inside not in FREE:
                yield value, key
            yield from places(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from places(item, inside)


@pytest.mark.parametrize("seed", range(60))
def test_a_typo_in_any_field_is_seen(seed: int) -> None:
    dice = random.Random(seed)
    document = dice.choice(kustomized("eks"))
    owner, key = dice.choice(list(places(document)))
    owner[f"{key[:-1]}{'x' if key[-1] != 'x' else 'y'}"] = owner.pop(key)
    assert problems(document), key


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", "spec.replicas", "2"),
        ("Deployment", "spec.template.spec.containers.0.image", None),
        ("Deployment", "spec.template.spec.containers.0.env.0.value", 1),
        ("Deployment", "spec.template.spec.containers.0.resources.limits.memory", "2 GB"),
        ("Deployment", "spec.template.spec.containers.0.readinessProbe.periodSeconds", "5s"),
        ("Deployment", "spec.template.spec.securityContext.runAsNonRoot", "yes"),
        ("Deployment", "spec.template.spec.securityContext.seccompProfile.type", "Default"),
        ("Deployment", "spec.template.metadata.annotations.prometheus\\io/port", 8501),
        ("Deployment", "spec.selector.matchLabels", ["model-server"]),
        ("PersistentVolumeClaim", "spec.accessModes", "ReadWriteMany"),
        ("PersistentVolumeClaim", "spec.accessModes.0", "ReadWriteAll"),
        ("HorizontalPodAutoscaler", "apiVersion", "autoscaling/v3"),
        ("Service", "metadata.name", "Model_Server"),
    ],
)
def test_a_wrong_value_is_seen(kind: str, path: str, value: Any) -> None:
    document = one(kustomized("base"), kind, "models" if kind == "PersistentVolumeClaim" else "model-server")
    *above, last = [part.replace("\\", ".") for part in path.split(".")]
    owner = document
    for part in above:
        owner = owner[int(part)] if isinstance(owner, list) else owner[part]
    owner[int(last) if isinstance(owner, list) else last] = value
    assert problems(document)


def test_a_required_field_that_is_missing_is_seen() -> None:
    document = one(kustomized("base"), "Deployment", "model-server")
    del document["spec"]["selector"]
    assert "selector" in " ".join(problems(document))
