"""What the log says when directories and configurations are likely not as meant."""

import shutil

from serving.server.model_config import Policy, Settings


def warnings(caplog) -> list[str]:
    return [record.message for record in caplog.records if record.levelname == "WARNING"]


def test_a_directory_that_is_missing_is_told_of_each_minute_until_it_comes(base, put, manage, caplog) -> None:
    times = [1000.0]
    tried = manage(options={"clock": lambda: times[-1]}, m=Settings(base))
    for now in (1001.0, 1059.0, 1061.0):
        times.append(now)
        tried.look()
    assert [text.partition(";")[0] for text in warnings(caplog)] == [f"model m: no directory {base}"] * 2
    put(1)
    tried.look()
    assert tried.answers() == 1


def test_a_listed_version_that_is_not_there_is_told_of_once_for_each_change(base, put, manage, caplog) -> None:
    put(1)
    tried = manage(m=Settings(base, Policy(listed=frozenset([1, 777]))))
    tried.look()
    tried.manager.apply({"m": Settings(base, Policy(listed=frozenset([1, 777])))})
    assert (tried.answers(), warnings(caplog)) == (1, [f"model m: version 777 is listed but not in {base}"])
    put(777)
    tried.look()
    shutil.rmtree(base / "777")
    tried.look()
    assert len(warnings(caplog)) == 2


def test_a_configuration_that_takes_a_whole_model_away_is_told_of(base, put, manage, caplog) -> None:
    put(1)
    tried = manage(m=Settings(base), other=Settings(base))
    tried.manager.apply({"m": Settings(base, Policy(listed=frozenset([777])))})
    told = [text for text in warnings(caplog) if "no longer served" in text]
    assert sorted(told) == [
        f"model m is no longer served: the configuration that is applied lists no version that is in {base}",
        "model other is no longer served: the configuration that is applied does not have it",
    ]
    tried.manager.apply({})
    assert len([text for text in warnings(caplog) if "no longer served" in text]) == 2  # it answered no more


def test_what_the_real_server_would_take_for_a_version_is_told_of_once(base, put, manage, caplog) -> None:
    put(1)
    put(1, base / "away").rename(base / "070")
    (base / "8").symlink_to(base / "1")
    (base / "9").touch()
    (base / "10").mkdir()
    (base / "backup").mkdir()
    tried = manage(m=Settings(base))
    tried.look()
    assert tried.answers() == 1
    assert [text.partition(":")[2].strip().partition(": ")[0] for text in warnings(caplog)] == [
        f"{base / name} ignored" for name in ("070", "10", "8", "9")
    ]
