from pathlib import Path

import pytest

from errors import ConfigError
from serving.server import servable
from serving.server.config_file import ConfigFile
from serving.server.manager import Manager


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "models.config"


@pytest.fixture
def write(file: Path, base: Path):
    """Writes the file with one model, held at some versions or following, with labels."""

    def run(*versions: int, name: str = "m", **labels: int) -> None:
        listed = " ".join(f"versions: {version}" for version in versions)
        policy = f"model_version_policy {{ specific {{ {listed} }} }}" if versions else ""
        named = " ".join(f'version_labels {{ key: "{label}" value: {version} }}' for label, version in labels.items())
        entry = f'name: "{name}" base_path: "{base}" model_platform: "tensorflow" {policy} {named}'
        file.write_text(f"model_config_list {{ config {{ {entry} }} }}", encoding="utf-8")

    return run


@pytest.fixture
def tried(manage, base, put):
    """A manager without a model, and two versions of one."""
    put(1)
    put(2)
    return manage()


def look(config: ConfigFile, tried) -> None:
    config.look()
    assert tried.manager.settle(20)


def told(caplog, text: str) -> int:
    return sum(text in record.message for record in caplog.records)


def test_a_changed_file_is_applied_and_an_unchanged_one_is_not(file, write, tried) -> None:
    write(1)
    config = ConfigFile(file, tried.manager.apply, 0)
    config.start()
    assert tried.manager.settle(20)
    assert tried.answers() == 1
    write(2, stable=2)
    look(config, tried)
    assert tried.answers() == tried.answers(label="stable") == 2
    tried.manager.apply({})
    look(config, tried)
    assert tried.manager.names() == []  # what was changed by a call stays
    write(name="other")
    look(config, tried)
    assert tried.answers(name="other") == 2


@pytest.mark.parametrize("broken", ["", "model_config_list {", 'model_config_list { config { name: "m" } }'])
def test_a_broken_file_is_told_of_once_and_changes_nothing(file, write, tried, caplog, broken: str) -> None:
    write(1)
    config = ConfigFile(file, tried.manager.apply, 0)
    look(config, tried)
    file.write_text(broken, encoding="utf-8")
    look(config, tried)
    look(config, tried)
    assert tried.answers() == 1
    assert told(caplog, "the configuration stays as it is") == 1
    file.unlink()
    look(config, tried)
    look(config, tried)
    assert (tried.answers(), told(caplog, "cannot be read: No such file or directory")) == (1, 1)
    write(2)
    look(config, tried)
    assert tried.answers() == 2


def test_a_label_that_is_refused_is_taken_when_its_version_has_come(file, write, manage, put, caplog) -> None:
    loads = []

    def load(name: str, path: Path, version: int) -> servable.Servable:
        loads.append(version)
        return servable.load(path, version)

    put(1)
    put(2)
    tried = manage(load)
    write(1, stable=1)
    config = ConfigFile(file, tried.manager.apply, 0)
    look(config, tried)
    write(1, 2, 3, stable=3)
    for _ in range(20):
        look(config, tried)
    assert tried.answers(label="stable") == 1
    assert told(caplog, "label stable to version 3") == 1
    assert loads.count(2) < 6  # not at each of the looks
    put(3)
    for _ in range(8):
        look(config, tried)
    assert tried.answers(label="stable") == 3


def test_a_model_that_is_not_pushed_yet_is_waited_for(file, write, tried, put, tmp_path) -> None:
    write(1)
    config = ConfigFile(file, tried.manager.apply, 0)
    look(config, tried)
    file.write_text(file.read_text().replace('base"', 'later"').replace("specific { versions: 1 }", "all {}"))
    file.write_text(file.read_text().replace('name: "m"', 'name: "later"'))
    look(config, tried)
    assert (tried.manager.names(), tried.manager.ready()) == (["later"], ["later"])
    put(8, tmp_path / "later")
    tried.look()
    assert tried.answers(name="later") == 8


def test_a_missing_file_ends_a_start_unless_it_will_be_looked_at_again(file, write, tried, caplog) -> None:
    with pytest.raises(ConfigError, match=r"models\.config \(--model_config_file\): it cannot be read: No such file"):
        ConfigFile(file, tried.manager.apply, 0).start()
    config = ConfigFile(file, tried.manager.apply, 0.02)
    config.start()
    assert told(caplog, f"waiting for {file} (--model_config_file); the first push makes it") == 1
    write(2)
    tried.wait_for("m", 2)
    config.stop()


def test_a_file_that_is_waited_for_is_told_of_each_minute(file, write, tried, caplog) -> None:
    times: list[float] = []
    config = ConfigFile(file, tried.manager.apply, 1, clock=lambda: times[-1])
    for now in (1000.0, 1001.0, 1059.0, 1061.0):
        times.append(now)
        look(config, tried)
    assert told(caplog, "waiting for") == 2
    write(1)
    look(config, tried)
    assert (tried.answers(), told(caplog, "stays as it is")) == (1, 0)


@pytest.mark.parametrize("broken", ["", "nonsense", "model_config_list {", 'model_config_list { config { name: "m" } }'])
def test_a_wrong_file_ends_a_start(broken: str, file, tried) -> None:
    file.write_text(broken, encoding="utf-8")
    config = ConfigFile(file, tried.manager.apply, 1)
    for begin in (config.check, config.start):
        with pytest.raises(ConfigError, match=r"models\.config \(--model_config_file\): .*[^.]; mend it and start again\.$"):
            begin()


def test_a_server_that_waits_for_its_file_is_not_ready(file) -> None:
    manager = Manager(lambda name, path, version: pytest.fail("nothing is to be loaded"))
    ConfigFile(file, manager.apply, 0).look()
    assert manager.ready() == ["(no configuration yet)"]
