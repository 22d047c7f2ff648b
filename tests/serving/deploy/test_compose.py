"""docker-compose.yaml against the Compose Specification's schema, and what it promises."""

from __future__ import annotations

import copy
import json
import re
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import pytest

from tests.serving.deploy.manifests import COMPOSE, ROOT, compose, documents

VARIABLES = {"MODELS_ROOT": "/srv/models", "MODEL_NAME": "digits"}


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft202012Validator:
    package = find_spec("check_jsonschema")  # not imported: that takes a newer click than the stack's
    path = Path(package.origin).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    return jsonschema.Draft202012Validator(json.loads(path.read_text(encoding="utf-8")))


@pytest.fixture
def project() -> dict:
    return compose(**VARIABLES)


def test_it_is_a_compose_file(schema, project) -> None:
    assert not [error.message for error in schema.iter_errors(project)]


@pytest.mark.parametrize(
    ("service", "old", "new"),
    [("model-server", "volumes", "volume"), ("gateway", "healthcheck", "healtcheck"), ("gateway", "depends_on", "depend_on")],
)
def test_a_typo_in_a_field_is_seen(schema, project, service: str, old: str, new: str) -> None:
    wrong = copy.deepcopy(project)
    wrong["services"][service][new] = wrong["services"][service].pop(old)
    assert not schema.is_valid(wrong)


@pytest.mark.parametrize("missing", sorted(VARIABLES))
def test_it_does_not_start_without_its_variables(missing: str) -> None:
    with pytest.raises(KeyError, match=f"{missing}: set {missing} to"):
        compose(**{name: value for name, value in VARIABLES.items() if name != missing})


def test_the_page_names_every_variable() -> None:
    names = set(re.findall(r"\$\{(\w+)", COMPOSE.read_text(encoding="utf-8")))
    page = (ROOT / "docs" / "how-to" / "deploy-serving.md").read_text(encoding="utf-8")
    assert {name for name in names if f"`{name}`" not in page} == set()


def test_every_port_is_published_on_loopback_only(project) -> None:
    ports = [port for service in project["services"].values() for port in service["ports"]]
    assert len(ports) == 4
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in ports)


def test_every_service_is_hardened_limited_and_checked(project) -> None:
    for name, service in project["services"].items():
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert int(service["user"].split(":")[0]) > 0, name
        assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"]), name
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert re.fullmatch(r".+:v?\d[\w.-]*|fedtfx-gateway:local", service["image"]), name


def test_the_models_are_where_they_are_on_the_host_and_cannot_be_written(project) -> None:
    mounts = project["services"]["model-server"]["volumes"]
    (models,) = (mount for mount in mounts if mount["source"] == "/srv/models")
    assert models["target"] == models["source"]
    assert all(mount["read_only"] for mount in mounts)


def test_what_is_mounted_from_the_repository_is_in_it(project) -> None:
    for service in project["services"].values():
        for mount in service.get("volumes", []):
            if mount["type"] == "bind" and mount["source"].startswith("."):
                assert (COMPOSE.parent / mount["source"]).is_dir()


def test_services_ask_each_other_under_names_and_ports_there_are(project) -> None:
    listening = {"model-server": "8500", "gateway": "8080"}
    (server,) = (flag for flag in project["services"]["gateway"]["command"] if flag.startswith("--server=grpc://"))
    name, port = server.removeprefix("--server=grpc://").split(":")
    assert listening[name] == port
    assert set(project["services"]["gateway"]["depends_on"]) <= set(project["services"])


def test_prometheus_asks_services_there_are_for_rules_that_are_mounted(project) -> None:
    folder = COMPOSE.parent.parent / "config"
    (scraped,) = documents((folder / "prometheus.yaml").read_text(encoding="utf-8"))
    (mount,) = (each for each in project["services"]["prometheus"]["volumes"] if each["type"] == "bind")
    assert all((folder / Path(rules).relative_to(mount["target"])).is_file() for rules in scraped["rule_files"])
    targets = [target for job in scraped["scrape_configs"] for each in job["static_configs"] for target in each["targets"]]
    open_ports = {f"{name}:{port.rpartition(':')[2]}" for name, each in project["services"].items() for port in each["ports"]}
    assert len(targets) == 2
    assert set(targets) <= open_ports


def test_every_alert_says_what_to_do() -> None:
    (rules,) = documents((COMPOSE.parent.parent / "config" / "alerts.yaml").read_text(encoding="utf-8"))
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    assert [alert["alert"] for alert in alerts] == ["ModelServerDown", "NoAvailableVersion", "VersionFailsToLoad", "ErrorShare"]
    assert all(alert["annotations"]["summary"] and alert["labels"]["severity"] and alert["for"] for alert in alerts)
