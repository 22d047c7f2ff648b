"""Approvals: strict in what is read, and what each can do to a decision."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from components.deploy_gate.approvals import Approval, load
from components.deploy_gate.decision import decide
from components.deploy_gate.observers import FAILED, PASSED, SKIPPED, Check
from errors import ConfigError

NOW = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)
DIGEST = "123456789012" + "e" * 52
GOOD = {
    "action": "force",
    "model": "123456789012",
    "by": "Ada Lovelace",
    "reason": "limit was for the old machines",
    "expires": "2026-06-02T12:00:00+02:00",
}


def written(tmp_path, **changes):
    entry = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    lines = [f"{'- ' if index == 0 else '  '}{key}: {value}" for index, (key, value) in enumerate(entry.items())]
    path = tmp_path / "approvals.yaml"
    path.write_text("approvals:\n" + "\n".join(lines) + "\n")
    return path


def test_file_is_read_as_it_is_meant(tmp_path):
    (approval,) = load(written(tmp_path, checks="[serving/p99, first-deploy]"))
    assert (approval.action, approval.by, approval.checks) == ("force", "Ada Lovelace", ("serving/p99", "first-deploy"))
    assert approval.model == "123456789012"  # digits alone are no number
    assert approval.expires == datetime(2026, 6, 2, 10, tzinfo=timezone.utc)


@pytest.mark.parametrize("digest", ["123456789012", "12345678901234567e10", "0x1234567890abc"[2:], "e" * 64])
def test_digest_stays_text_whatever_yaml_would_make_of_it(tmp_path, digest):
    assert load(written(tmp_path, model=digest))[0].model == digest


@pytest.mark.parametrize("expires", ["2026-06-02T12:00Z", "2026-06-02 12:00:00+00:00", "'2026-06-02T12:00:00-11:30'"])
def test_time_with_a_zone_is_an_expiry(tmp_path, expires):
    assert load(written(tmp_path, expires=expires))[0].expires.tzinfo is timezone.utc


@pytest.mark.parametrize("text", ["approvals: []", "# none\napprovals: []\n"])
def test_file_without_approvals_is_one(tmp_path, text):
    (tmp_path / "none.yaml").write_text(text)
    assert load(tmp_path / "none.yaml") == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"action": "allow"}, "action: expected force or hold"),
        ({"action": None}, "action: expected text, got nothing"),
        ({"model": "12345678901"}, "model: expected 12 to 64 hex digits"),
        ({"model": "any"}, "model: expected 12 to 64 hex digits of the model's digest, got 'any' (any is only for hold)."),
        ({"model": "ABCDEF123456"}, "model: expected 12 to 64 hex digits"),
        ({"by": "''"}, "by: expected text"),
        ({"by": None}, "by: expected text"),
        ({"reason": None}, "reason: expected text"),
        ({"reason": "x" * 501}, "reason: expected at most 500"),
        ({"reason": '"\\e[2J"'}, "reason: expected at most 500 printable"),
        ({"expires": None}, "expires: expected text"),
        ({"expires": "2026-06-02"}, "expires: expected a time with its zone"),
        ({"expires": "2026-06-02T12:00:00"}, "expires: expected a time with its zone"),
        ({"expires": "2026-02-30T12:00:00Z"}, "expires: expected a time with its zone"),
        ({"expires": "2026-06-02T25:00:00Z"}, "expires: expected a time with its zone"),
        ({"expires": "never"}, "expires: expected a time with its zone"),
        ({"expires": "9999-12-31T23:59:59-12:00"}, "expires: expected a time with its zone"),
        ({"expires": "0001-01-01T00:00:00+14:00"}, "expires: expected a time with its zone"),
        ({"checks": "serving/p99"}, "checks: expected a list"),
        ({"checks": "[]"}, "checks: expected a list"),
        ({"action": "hold", "checks": "[serving/p99]"}, "unknown key 'checks' for hold"),
        ({"until": "tomorrow"}, "unknown key 'until' for force"),
    ],
)
def test_entry_that_is_not_exactly_right_is_refused_in_one_line(tmp_path, changes, message):
    with pytest.raises(ConfigError) as refused:
        load(written(tmp_path, **changes))
    assert message in str(refused.value) and "approvals[0]" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "approvals: {}\nmore: 1",
        "approvals:",
        "approvals: {}",
        "approvals: no",
        "approvals: ''",
        "approvals: force",
        "approvals: [1]",
        "approvals: []\napprovals: []",
        "approvals:\n- by: a\n  by: b",
        "approvals: &a [*a]",
        "approvals: [{&k by: x, ? [1] : 2}]",
        pytest.param("{" * 5000, id="deep"),
        "approvals: !!python/object/apply:os.system [true]\n",
        "approvals: [\x00]",
        pytest.param("a" * (1 << 20) + "b", id="huge"),
    ],
)
def test_file_that_is_not_exactly_right_is_refused_in_one_line(tmp_path, text):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(ConfigError) as refused:
        load(tmp_path / "bad.yaml")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "\n", "# none yet\n"])
def test_empty_file_is_told_what_to_write(tmp_path, text):
    (tmp_path / "empty.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"the file is empty; write `approvals: \[\]` for none\.$"):
        load(tmp_path / "empty.yaml")


def test_missing_file_and_bytes_that_are_no_text_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigError, match="UTF-8"):
        load(tmp_path / "bytes.yaml")


def check(name, verdict, forceable=True):
    return Check(name, "Evaluator", "it", "seen", "wanted", verdict, forceable)


def approval(action="force", **changes):
    fields = {"model": DIGEST[:12], "by": "Ada", "reason": "drill", "expires": NOW + timedelta(hours=1), "checks": None}
    return Approval(action=action, file_sha256="f" * 64, **{**fields, **changes})


def decided(verdicts, *approvals, forceable=True):
    checks = [check(f"check/{number}", verdict, forceable) for number, verdict in enumerate(verdicts)]
    model = {"id": 3, "name": "digits", "node": "Trainer", "digest": DIGEST}
    return decide(checks, approvals, model=model, served=None, now=NOW)


@pytest.mark.parametrize(
    ("verdicts", "approvals", "blessed", "action"),
    [
        ([PASSED, SKIPPED], [], True, None),
        ([PASSED, FAILED], [], False, None),
        ([SKIPPED], [], False, None),
        ([], [], False, None),
        ([], [approval()], False, None),
        ([PASSED, FAILED], [approval()], True, "force"),
        ([FAILED, FAILED], [approval(checks=("check/0", "check/1", "other"))], True, "force"),
        ([FAILED, FAILED], [approval(checks=("check/0",))], False, None),
        ([PASSED], [approval()], True, None),
        ([PASSED], [approval("hold")], False, "hold"),
        ([FAILED], [approval("hold")], False, "hold"),
        ([FAILED], [approval(), approval("hold", model="any")], False, "hold"),
        ([PASSED], [approval("hold", model="0" * 12)], True, None),
        ([FAILED], [approval(model="0" * 12)], False, None),
        ([FAILED], [approval(model=DIGEST)], True, "force"),
        ([FAILED], [approval(expires=NOW)], False, None),
        ([FAILED], [approval(expires=NOW), approval()], True, "force"),
        ([PASSED], [approval("hold", expires=NOW - timedelta(days=1))], True, None),
        ([FAILED, FAILED], [approval(checks=("check/0",)), approval()], True, "force"),
    ],
)
def test_what_approvals_do_to_a_decision(verdicts, approvals, blessed, action):
    decision = decided(verdicts, *approvals)
    assert decision.blessed is blessed
    assert (decision.override or {}).get("action") == action


def test_check_that_must_never_be_forced_is_not_even_if_the_approval_names_it():
    decision = decided([FAILED], approval(checks=("check/0",)), forceable=False)
    assert not decision.blessed
    assert decision.approvals[0]["note"] == "no approval can override check/0"


def test_decision_says_what_became_of_every_approval():
    decision = decided([FAILED], approval(expires=NOW), approval("hold"), approval(), approval(model="0" * 12))
    notes = [(said["action"], said["applied"], said["note"]) for said in decision.approvals]
    assert notes == [
        ("force", False, f"expired at {NOW.isoformat()}"),
        ("hold", True, ""),
        ("force", False, "another approval counts more"),
        ("force", False, "names another model than 123456789012"),
    ]


@pytest.mark.parametrize("action", ["force", "hold"])
def test_approval_of_another_model_does_nothing_but_is_told_whatever_else_is_wrong_with_it(action):
    decision = decided([PASSED], approval(action, model="0" * 12, expires=NOW))
    assert decision.blessed and decision.override is None
    assert decision.approvals[0]["note"] == "names another model than 123456789012"


def test_approval_of_a_model_that_cannot_be_read_is_told_without_a_digest():
    model = {"id": 3, "name": "digits", "node": "Trainer", "digest": ""}
    decision = decide([check("model/bytes", FAILED)], [approval()], model=model, served=None, now=NOW)
    assert decision.approvals[0]["note"] == "names a model, and this one cannot be read"


def test_approval_of_some_checks_says_which_others_failed():
    decision = decided([FAILED, FAILED], approval(checks=("check/0",)))
    assert decision.approvals[0]["note"] == "it does not name check/1, which failed as well"


def test_model_that_cannot_be_read_is_about_nobodys_approval():
    assert not approval().is_about("")
    assert approval("hold", model="any").is_about("")
