"""alerts.yaml, evaluated by Prometheus' own promtool on made-up series."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.serving.deploy.manifests import DEPLOY

COUNT = ":tensorflow:serving:request_count"
LOADS = ":tensorflow:cc:saved_model:load_attempt_count"
# Per minute: `dead` only ever fails, a third of `broken` does, `misused` is asked wrongly by half of its callers.
SERIES = {
    f'{COUNT}{{model_name="dead",status="NOT_FOUND"}}': "0+60x20",
    f'{COUNT}{{model_name="broken",status="OK"}}': "0+60x20",
    f'{COUNT}{{model_name="broken",status="INTERNAL"}}': "0+30x20",
    f'{COUNT}{{model_name="misused",status="OK"}}': "0+60x20",
    f'{COUNT}{{model_name="misused",status="INVALID_ARGUMENT"}}': "0+60x20",
    f'{LOADS}{{model_path="/m/a/1",status="fail",instance="two:8501"}}': "_x10 1x10",  # in the middle, and once
    f'{LOADS}{{model_path="/m/a/2",status="fail",instance="two:8501"}}': "1x20",  # long ago
    f'{LOADS}{{model_path="/m/a/3",status="success",instance="two:8501"}}': "_x10 1x10",
    'up{job="model-server",instance="one:8501"}': "0x20",
    'up{job="model-server",instance="two:8501"}': "1x20",
}
FIRING = {
    "NoAvailableVersion": {"severity": "critical", "model_name": "dead"},
    "VersionFailsToLoad": {"severity": "warning", "model_path": "/m/a/1", "instance": "two:8501"},
    "ErrorShare": {"severity": "warning", "model_name": "broken"},
    "ModelServerDown": {"severity": "critical", "job": "model-server", "instance": "one:8501"},
}


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if not found:
        pytest.skip("no promtool; install Debian's prometheus")
    return found


def test_alerts_fire_for_what_is_broken_and_for_nothing_else(promtool: str, tmp_path: Path) -> None:
    rules = yaml.safe_load((DEPLOY / "config" / "alerts.yaml").read_text(encoding="utf-8"))
    for rule in rules["groups"][0]["rules"]:
        del rule["annotations"]  # their words are not what is tested
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump(rules), encoding="utf-8")
    expected = [
        {"eval_time": "15m", "alertname": name, "exp_alerts": [{"exp_labels": labels}]} for name, labels in FIRING.items()
    ]
    series = [{"series": name, "values": values} for name, values in SERIES.items()]
    case = {"interval": "1m", "input_series": series, "alert_rule_test": expected}
    test = {"rule_files": ["alerts.yaml"], "evaluation_interval": "1m", "tests": [case]}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(test), encoding="utf-8")
    ended = subprocess.run([promtool, "test", "rules", "test.yaml"], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("words", [["rules", "alerts.yaml"], ["config", "--syntax-only", "prometheus.yaml"]])
def test_prometheus_reads_the_files(promtool: str, words: list[str]) -> None:
    ended = subprocess.run([promtool, "check", *words], cwd=DEPLOY / "config", capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
