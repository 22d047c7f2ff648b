import logging
import os
import shutil
import tempfile
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

from serving.server import servable
from serving.server.model_config import Policy, Settings
from serving.server.servable import Servable
from serving.server.status import ApiError
from serving.server.swapper import Loading
from serving.server.versions import VersionStatus


def load(_: str, path: Path, version: int) -> Servable:
    return servable.load(path, version)


def test_the_newest_version_answers_and_the_old_one_has_ended(base, put, manage) -> None:
    put(3)
    tried = manage(m=Settings(base))
    assert tried.answers() == tried.answers(3) == 3
    put(20)
    tried.look()
    assert tried.answers() == 20
    assert tried.manager.statuses("m") == [VersionStatus(20, "AVAILABLE"), VersionStatus(3, "END")]
    assert tried.manager.statuses("m", 3) == [VersionStatus(3, "END")]
    for refused, said in [(tried.refused(3), "Specific(m, 3)"), (tried.refused(name="x"), "Latest(x)")]:
        assert (refused.code, refused.message) == ("NOT_FOUND", f"Servable not found for request: {said}")
    refused = tried.refused(label="stable")
    assert (refused.code, refused.message) == ("INVALID_ARGUMENT", "Unrecognized servable version label: stable")


def test_what_is_not_known_has_no_status(base, put, manage) -> None:
    tried = manage(m=Settings(base))
    with pytest.raises(ApiError, match="Could not find any versions of model x"):
        tried.manager.statuses("x")
    put(3)
    tried.look()
    with pytest.raises(ApiError, match="Could not find version 4 of model m"):
        tried.manager.statuses("m", 4)


@pytest.mark.parametrize(
    ("policy", "served"),
    [
        (Policy(latest=1), [4]),
        (Policy(latest=2), [3, 4]),
        (Policy(), [1, 3, 4]),
        (Policy(listed=frozenset([1, 3, 9])), [1, 3]),
    ],
)
def test_every_version_of_the_policy_answers_by_its_number(base, put, manage, policy: Policy, served: list[int]) -> None:
    for version in (1, 3, 4):
        put(version)
    tried = manage(m=Settings(base, policy))
    assert [version for version, state in sorted(tried.states().items()) if state == "AVAILABLE"] == served
    assert [tried.answers(version) for version in served] == served
    assert tried.answers() == served[-1]


def test_a_swap_waits_for_requests_in_flight_and_then_frees_the_old_version(base, put, manage) -> None:
    put(3)
    tried = manage(m=Settings(base))
    with tried.manager.lease("m") as old:
        put(4)
        tried.look()
        assert tried.answers() == 4
        assert tried.states() == {4: "AVAILABLE", 3: "UNLOADING"}
        outputs = old.predict(old.signature("serving_default"), {"x": np.ones(1, np.float32)})
        assert outputs["y"].tolist() == [2]
        freed = weakref.ref(old)
        del old
    assert tried.manager.settle(20)
    assert tried.states()[3] == "END"
    assert freed() is None


def test_the_old_version_answers_until_the_new_one_is_ready(base, put, manage, gated) -> None:
    put(3)
    gate = gated(4)
    tried = manage(gate, m=Settings(base))
    put(4)
    tried.manager.poll()
    gate.wait_for(4)
    tried.manager.poll()  # a load under way does not hold up a look
    assert tried.answers() == 3
    assert tried.states() == {4: "LOADING", 3: "AVAILABLE"}
    gate.open(4)
    assert tried.manager.settle(20)
    assert tried.answers() == 4


def test_taking_away_the_newest_version_brings_back_the_one_before_first(base, put, manage, gated) -> None:
    put(3)
    put(4)
    gate = gated(3)
    tried = manage(gate, m=Settings(base))
    shutil.rmtree(base / "4")
    tried.manager.poll()
    gate.wait_for(3)
    assert tried.answers() == 4
    gate.open(3)
    assert tried.manager.settle(20)
    assert tried.answers() == 3
    shutil.rmtree(base / "3")
    tried.look()
    assert tried.manager.ready() == ["m"]
    assert tried.states() == {4: "END", 3: "END"}


def test_a_missing_base_path_keeps_what_is_served_and_concerns_its_own_model_alone(base, put, manage, caplog, tmp_path) -> None:
    put(3)
    tried = manage(m=Settings(base), other=Settings(tmp_path / "other"))
    assert tried.manager.ready() == ["other"]
    base.rename(tmp_path / "elsewhere")
    put(1, tmp_path / "other")
    tried.look()
    tried.look()
    assert tried.answers() == 3
    assert tried.answers(name="other") == 1
    assert tried.manager.ready() == []
    for name in ("base", "other"):
        assert sum(f"no directory {tmp_path / name}" in record.message for record in caplog.records) == 1


def test_a_half_copied_version_never_goes_live_and_is_tried_again_when_it_is_whole(base, put, manage, caplog) -> None:
    put(3)
    tried = manage(m=Settings(base))
    put(4, broken=True)
    tried.look()
    tried.look()
    assert tried.answers() == 3
    failed, live = tried.manager.statuses("m")
    assert (failed.version, failed.state, failed.code) == (4, "LOADING", "FAILED_PRECONDITION")
    assert "the copy is not complete" in failed.message
    assert live == VersionStatus(3, "AVAILABLE")
    assert sum("version 4 failed to load" in record.message for record in caplog.records) == 1
    (base / "away-4").rename(base / "4" / "variables")
    tried.look()
    assert tried.answers() == 4
    assert tried.manager.statuses("m") == [VersionStatus(4, "AVAILABLE"), VersionStatus(3, "END")]


def test_a_start_with_broken_newest_versions_serves_the_newest_that_loads(base, put, manage) -> None:
    put(2)
    put(3)
    for version in (4, 5):
        put(version, broken=True)
    tried = manage(m=Settings(base))
    assert tried.answers() == 3
    assert tried.states() == {5: "LOADING", 4: "LOADING", 3: "AVAILABLE"}


def test_a_newer_version_takes_the_place_of_a_failing_one_at_once(base, put, manage) -> None:
    put(4, broken=True)
    tried = manage(m=Settings(base))
    put(5)
    tried.look()
    assert tried.answers() == 5
    ended = tried.manager.statuses("m", 4)[0]
    assert (ended.state, ended.code) == ("END", "FAILED_PRECONDITION")


def test_a_failed_load_is_retried_in_its_time_and_given_up_until_the_files_change(base, put, manage) -> None:
    now, loads = [0.0], []

    def counting(name: str, path: Path, version: int) -> Servable:
        loads.append(version)
        return load(name, path, version)

    path = put(4)
    (path / "saved_model.pb").write_bytes(b"not a model")
    options = {"loading": Loading(max_retries=2, retry_seconds=60), "clock": lambda: now[0]}
    tried = manage(counting, options=options, m=Settings(base))
    for seconds, tries, state in [
        (59, 1, "LOADING"),
        (60, 2, "LOADING"),
        (119, 2, "LOADING"),
        (120, 3, "END"),
        (9e9, 3, "END"),
    ]:
        now[0] = seconds
        tried.look()
        assert (len(loads), tried.states()) == (tries, {4: state})
    assert tried.manager.statuses("m")[0].code == "DATA_LOSS"
    os.utime(path / "saved_model.pb")
    tried.look()
    assert (len(loads), tried.states()) == (4, {4: "LOADING"})


def test_a_version_that_failed_and_comes_back_is_loaded(base, put, manage) -> None:
    put(4, broken=True)
    tried = manage(options={"loading": Loading(max_retries=0)}, m=Settings(base))
    shutil.rmtree(base / "4")
    tried.look()
    assert tried.states() == {4: "END"}
    put(4)
    tried.look()
    assert tried.answers() == 4


def test_a_load_that_hangs_holds_up_neither_other_models_nor_the_next_version(base, put, manage, gated, tmp_path) -> None:
    put(1)
    put(1, tmp_path / "hanging")
    gate = gated(2)
    tried = manage(gate, m=Settings(base), hanging=Settings(tmp_path / "hanging"))
    put(2, tmp_path / "hanging")
    tried.manager.poll()
    gate.wait_for(2)
    put(3)
    put(3, tmp_path / "hanging")
    tried.manager.poll()
    tried.wait_for("m", 3)
    tried.wait_for("hanging", 3)
    gate.open(2)


def test_a_load_that_takes_long_holds_up_no_unload(base, put, manage, gated, tmp_path) -> None:
    put(1)
    put(1, tmp_path / "slow")
    gate = gated(2)
    tried = manage(gate, m=Settings(base), slow=Settings(tmp_path / "slow"))
    put(2, tmp_path / "slow")
    tried.manager.poll()
    gate.wait_for(2)
    shutil.rmtree(base / "1")
    tried.manager.poll()
    tried.wait_for("m", None)
    gate.open(2)


def test_the_version_that_answers_is_told_whenever_it_is_another(base, put, manage) -> None:
    put(3)
    tried = manage(m=Settings(base))
    put(4)
    tried.look()
    tried.manager.apply({})
    assert tried.told == [("m", 3), ("m", 4), ("m", None)]


@pytest.mark.parametrize("damage", ["pipe", "loop", "folder", "device"])
def test_a_hostile_version_fails_and_the_others_are_served(base, put, manage, damage: str) -> None:
    put(1)
    odd = put(2) / "variables" / "variables.data-00000-of-00001"
    odd.unlink()
    if damage == "pipe":
        os.mkfifo(odd)
    else:
        odd.symlink_to({"loop": odd, "folder": base, "device": "/dev/zero"}[damage])
    tried = manage(m=Settings(base))
    assert tried.answers() == 1
    assert "variables.data-00000-of-00001" in tried.manager.statuses("m", 2)[0].message


def test_a_hostile_directory_is_lived_with(base, put, manage, tmp_path) -> None:
    put(5)
    for name in ["9" * 30, "9" * 200, "007", "-8", "٣", "6.pb"]:
        (base / name).mkdir()
    for version in range(1000, 1300):
        (base / str(version)).mkdir()
        (base / str(version) / "saved_model.pb").touch()
    (base / "2000").symlink_to(base)
    os.mkfifo(base / "2001")
    (base / "2002").write_bytes(b"a file")
    tried = manage(m=Settings(base))
    assert len(tried.states()) < 150
    shutil.rmtree(base / "1299")
    for version in range(1000, 1299):
        (base / str(version) / "saved_model.pb").unlink()
    tried.look()
    assert tried.answers() == 5


def test_a_graph_of_more_than_two_gigabytes_is_not_read(base, put, manage) -> None:
    with (put(1) / "saved_model.pb").open("wb") as graph:
        graph.truncate(3 << 30)
    tried = manage(m=Settings(base))
    assert "saved_model.pb has 3221225472 bytes" in tried.manager.statuses("m")[0].message


def test_versions_are_watched_and_retried_by_the_managers_own_thread(base, put, manage) -> None:
    given_up = threading.Semaphore(0)

    def counting(name: str, path: Path, version: int) -> Servable:
        try:
            return load(name, path, version)
        except ApiError:
            given_up.release()
            raise

    (put(3) / "saved_model.pb").write_bytes(b"not a model")
    tried = manage(
        counting, options={"poll_seconds": 0.02, "loading": Loading(max_retries=1, retry_seconds=0.01)}, m=Settings(base)
    )
    tried.manager.start()
    assert all(given_up.acquire(timeout=20) for _ in range(2))
    put(4, base.parent / "aside").rename(base / "4")
    tried.wait_for("m", 4)
    assert tried.answers() == 4


def test_a_defect_of_one_load_is_told_and_the_other_models_go_on(base, put, manage, caplog, tmp_path) -> None:
    def defective(name: str, path: Path, version: int) -> Servable:
        if name == "bad":
            raise KeyError(name)
        return load(name, path, version)

    put(1)
    put(1, tmp_path / "bad")
    tried = manage(defective, bad=Settings(tmp_path / "bad"), m=Settings(base))
    assert tried.answers() == 1
    assert tried.manager.statuses("bad")[0].message == "internal error: KeyError"
    assert tried.manager.ready() == ["bad"]


def test_after_the_end_nothing_is_loaded_but_requests_in_flight_are_answered(base, put, manage, caplog) -> None:
    caplog.set_level(logging.INFO)
    put(1)
    tried = manage(m=Settings(base))
    with tried.manager.lease("m"):
        tried.manager.stop()
        put(2)
        tried.manager.poll()
        assert tried.answers() == 1
    assert tried.states() == {1: "AVAILABLE"}


def test_no_request_fails_while_versions_come_and_go(base, put, manage) -> None:
    put(1)
    tried = manage(m=Settings(base))
    done, failures, seen = threading.Event(), [], {version: threading.Event() for version in (1, 2, 3)}

    def ask() -> None:
        try:
            while not done.is_set():
                seen[tried.answers()].set()
        except BaseException as error:
            failures.append(error)

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    assert seen[1].wait(20)
    for version in (2, 3):
        put(version)
        tried.look()
        assert seen[version].wait(20)
    shutil.rmtree(base / "3")
    tried.look()
    done.set()
    for thread in asking:
        thread.join(20)
    assert failures == []
    assert tried.manager.settle(20)
    assert tried.states() == {3: "END", 2: "AVAILABLE", 1: "END"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not read")
def test_a_version_that_cannot_be_read_hides_no_other(put, manage, caplog) -> None:
    tried = manage()
    with tempfile.TemporaryDirectory() as folder:  # unlike those of pytest, in a place where others may go
        base = Path(folder, "base")
        put(1, base)
        put(2, base).chmod(0)
        Path(folder).chmod(0o755)
        os.seteuid(65534)
        try:
            tried.manager.apply({"m": Settings(base)})
            assert tried.manager.settle(20)
            tried.look()
            assert tried.answers() == 1
            os.seteuid(0)
            (base / "1").chmod(0)
            os.seteuid(65534)
            tried.look()
            assert tried.answers() == 1  # it is loaded, and not gone
        finally:
            os.seteuid(0)
    assert sum(f"cannot read {base / '2'}" in record.message for record in caplog.records) == 1
