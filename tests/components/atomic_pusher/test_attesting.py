"""What the Pusher states about a pushed model, and when it leaves, mends or refuses a statement."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from tfx.types import standard_artifacts
from tfx.utils import json_utils

from components.artifacts import FederatedExamples, GateDecision
from errors import ConfigError, IntegrityError
from lineage import audit_log, signing, statement
from lineage.digests import file_digest, tree_digest
from serving import layout, statements

FACTS = {
    "config_digest": "c" * 64,
    "seed": 42,
    "code_version": "0123456789abcdef",
    "git_commit": "9" * 40 + "+changes",
    "lock_digest": "d" * 64,
    "python": "3.10.13",
    "version_tfx": "1.15.1",
}


class Signed:
    """A model to push with a key, and what it came from."""

    def __init__(self, push, root: Path) -> None:
        self.push, self.root = push, root
        self.public = signing.make(root / "keys")
        self.config = {
            "signing_key": str(root / "keys" / "key.pem"),
            "run_log": str(root / "audit.jsonl"),
            "run_facts": FACTS,
            "pipeline": "digits",
            "model_node": "FederatedTrainer",
        }

    def run(self):
        return self.push.run(custom_config=json_utils.dumps(self.config))

    @property
    def file(self) -> Path:
        return statements.path(self.push.model_dir, layout.live_version(self.push.model_dir))

    def checked(self) -> statement.Checked:
        version = layout.live_version(self.push.model_dir)
        digest = tree_digest(self.push.model_dir / str(version))
        return statement.check(self.file.read_bytes(), self.public, digest, name=f"digits/{version}")

    def said(self) -> dict:
        checked = self.checked()
        assert checked.verified, checked.problem
        return checked.statement["predicate"]


@pytest.fixture
def signed(push, tmp_path):
    return Signed(push, tmp_path)


def origins(push, root: Path) -> None:
    kinds = {
        "examples": standard_artifacts.Examples,
        "schema": standard_artifacts.Schema,
        "federated_examples": FederatedExamples,
        "base_model": standard_artifacts.Model,
        "decision": GateDecision,
    }
    for number, (key, kind) in enumerate(kinds.items(), start=100):
        made = push.artifact(kind, number, root / "origins" / key)
        made.set_string_custom_property("digest", hashlib.sha256(key.encode()).hexdigest())
        push.inputs[key] = [made]
    push.inputs["examples"][0].set_string_custom_property("input_fingerprint", "e" * 64)


def test_pushed_model_is_beside_a_statement_that_verifies_and_is_recorded(signed):
    pushed = signed.run()
    assert signed.checked().verified
    assert pushed.get_string_custom_property("statement_digest") == file_digest(signed.file)
    assert pushed.get_string_custom_property("key_id") == signed.public.key_id
    assert json.loads((Path(pushed.uri) / "pushed.json").read_text())["key_id"] == signed.public.key_id


def test_statement_lists_every_input_with_its_digest(signed, tmp_path):
    origins(signed.push, tmp_path)
    signed.run()
    found = {each["name"]: each for each in signed.said()["buildDefinition"]["resolvedDependencies"]}
    for key in ("examples", "schema", "federated_examples", "base_model", "decision"):
        assert found[key]["digest"] == {"sha256": hashlib.sha256(key.encode()).hexdigest()}
    assert found["examples"]["annotations"] == {"artifact": 100, "type": "Examples", "input_fingerprint": "e" * 64}
    assert found["model"]["digest"] == {"sha256": tree_digest(signed.push.model.uri)}
    assert all("uri" in each or "digest" in each for each in found.values())  # SLSA wants one of them
    assert found["fedtfx"]["digest"] == {"gitCommit": "9" * 40}
    assert found["fedtfx"]["annotations"] == {"code_version": "0123456789abcdef", "uncommitted_changes": True}
    assert found["requirements.txt"]["digest"] == {"sha256": "d" * 64}


def test_statement_tells_parameters_training_decision_and_where_the_log_stood(signed):
    audit_log.append(signed.config["run_log"], "run_started", pipeline="digits")
    newest = audit_log.append(signed.config["run_log"], "node", pipeline="digits")
    model = signed.push.model
    for name, value in {"algorithm": "fedavg", "module": "m", "module_digest": "0" * 16, "code_version": "1" * 16}.items():
        model.set_string_custom_property(name, value)
    model.set_int_custom_property("rounds", 40)
    model.set_float_custom_property("epsilon", 2.5)
    signed.run()
    said = signed.said()
    assert said["fedtfx_model"] == {"algorithm": "fedavg", "rounds": 40, "epsilon": 2.5}
    build, run = said["buildDefinition"], said["runDetails"]
    assert build["externalParameters"] == {"pipeline": "digits", "config_digest": "c" * 64, "seed": 42}
    assert build["internalParameters"]["training"] == {"module": "m", "module_digest": "0" * 16, "code_version": "1" * 16}
    assert run["builder"]["version"] == {"tfx": "1.15.1"}
    decision, log = run["byproducts"]
    assert decision["digest"] == {"sha256": file_digest(Path(signed.push.decision.uri, "decision.json"))}
    assert decision["annotations"]["blessed"] is True
    assert log["digest"] == {"sha256": audit_log.digest(newest)} and log["annotations"] == {"line": 2}


def test_forced_push_is_stated_as_forced(signed):
    override = {"action": "force", "by": "Ada", "reason": "a drill", "expires": "2999-01-01T00:00:00+00:00"}
    signed.push.decide(passed=False, override={**override, "checks": [], "file_sha256": ""})
    signed.run()
    said = signed.said()["runDetails"]["byproducts"][0]["annotations"]
    assert {name: said[name] for name in ("blessed", "passed", "override", "override_by")} == {
        "blessed": True,
        "passed": False,
        "override": "force",
        "override_by": "Ada",
    }


def test_second_push_of_a_model_leaves_its_statement_as_it_is(signed):
    signed.run()
    before = signed.file.read_bytes()
    again = signed.run()
    assert signed.file.read_bytes() == before
    assert again.get_string_custom_property("statement_digest") == file_digest(signed.file)


def removed(signed):
    signed.file.unlink()


def cut_off(signed):
    signed.file.write_bytes(signed.file.read_bytes()[:100])


def altered(signed):
    signed.file.write_bytes(signed.file.read_bytes().replace(b'"sig": "', b'"sig": "AA', 1))


def of_another_version(signed):
    key = signing.load_private(signed.config["signing_key"])
    payload = statement.build("digits/1", tree_digest(signed.push.export), statement.Origin())
    signed.file.write_bytes(signing.seal(payload, key))


def of_other_files(signed):
    key = signing.load_private(signed.config["signing_key"])
    name = signed.file.name.removesuffix(".intoto.jsonl")
    signed.file.write_bytes(signing.seal(statement.build(f"digits/{name}", "0" * 64, statement.Origin()), key))


@pytest.mark.parametrize("spoil", [removed, cut_off, altered, of_another_version, of_other_files])
def test_served_version_without_a_statement_that_proves_it_gets_one(signed, spoil):
    signed.run()
    spoil(signed)
    assert signed.run().get_int_custom_property("already_served") == 1
    assert signed.checked().verified


def test_statement_with_another_key_is_left_to_those_who_have_that_key(signed, tmp_path):
    signed.run()
    before, first = signed.file.read_bytes(), signed.public.key_id
    signing.make(tmp_path / "new")
    signed.config["signing_key"] = str(tmp_path / "new" / "key.pem")
    assert signed.run().get_string_custom_property("key_id") == first
    assert signed.file.read_bytes() == before


def test_without_a_key_the_model_is_pushed_without_a_statement(signed):
    del signed.config["signing_key"]
    pushed = signed.run()
    assert pushed.get_int_custom_property("pushed") == 1
    assert not pushed.has_custom_property("statement_digest") and not signed.file.exists()


def test_refused_model_has_no_statement(signed):
    signed.push.decide(passed=False)
    pushed = signed.run()
    assert pushed.get_int_custom_property("pushed") == 0
    assert not pushed.has_custom_property("statement_digest") and not signed.push.model_dir.exists()


@pytest.mark.parametrize("spoil", [lambda key: key.unlink(), lambda key: key.chmod(0o644), lambda key: key.write_text("x")])
def test_nothing_is_pushed_with_a_key_that_cannot_be_used(signed, spoil):
    spoil(Path(signed.config["signing_key"]))
    with pytest.raises(ConfigError, match=r"key\.pem: expected") as refused:
        signed.run()
    assert "\n" not in str(refused.value) and not signed.push.model_dir.exists()


def test_nothing_is_pushed_when_the_log_of_runs_was_altered(signed):
    Path(signed.config["run_log"]).write_text("{}\n")
    with pytest.raises(IntegrityError, match="was altered"):
        signed.run()
    assert not signed.push.model_dir.exists()


def test_key_is_in_no_record_of_the_push(signed, tmp_path):
    signed.run()
    secret = Path(signed.config["signing_key"]).read_text().splitlines()[1]
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "key.pem"]
    assert len(files) > 8
    assert not [path for path in files if secret.encode() in path.read_bytes()]
