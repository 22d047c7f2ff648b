"""One small pipeline's run on a real ML Metadata file, with the files, decision, push and logs that it leaves."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from components.example_gens import content
from lineage import audit_log, signing
from lineage.digests import tree_digest
from lineage.places import Places
from lineage.verify import Finding, Report, checking
from pipeline.run_log import RunLog
from serving import layout


class Small:
    """ExampleGen -> Trainer -> DeployGate -> Pusher, as the pipeline records them."""

    def __init__(self, folder: Path, writer: Any) -> None:
        self.folder, self.writer, self.store = folder, writer, writer.store
        self.data = folder / "data"
        self.data.mkdir()
        (self.data / "a.csv").write_text("x,y\n1,2\n")
        self.places = Places(str(folder), str(folder / "models"), str(writer.path))
        self.executions: dict[str, int] = {}
        self.signing_key: str | None = None

    def run(self, name: str = "run-1") -> Small:
        self.log = RunLog(str(self.folder), "small", name, self.places.serving_root, self.signing_key)
        self.log.started({"seed": 42})
        [examples] = self._examples(name)
        [model] = self._execute(name, "Trainer", {"examples": [examples]}, model=self._model(name))
        decision, blessing = self._decide(name, model)
        pushed = self._pushed(model, decision, blessing)
        self._execute(name, "Pusher", {"model": [model], "model_blessing": [blessing]}, pushed_model=pushed)
        self.log.ended(self.store)
        self.model = model
        return self

    def verify(self, *, everything: bool = False) -> Report:
        with self.places.opened() as store:
            return checking.verify(store, self.places, checking.live_models(store, self.places), everything=everything)

    def found(self, kind: str, **options: bool) -> list[Finding]:
        """What is not verified of one kind."""
        return [one for one in self.verify(**options).findings if one.kind == kind and one.state != "verified"]

    def sealed_run(self, name: str) -> Small:
        """A run whose end is signed with the key that verification takes by default."""
        self.signing_key = str(signing.ensure(self.folder / ".signing"))
        return self.run(name)

    def artifact(self, number: int) -> Any:
        return self.store.get_artifacts_by_id([number])[0]

    def _execute(self, run: str, node: str, inputs: dict[str, list[int]], **outputs: Any) -> list[int]:
        wanted = {key: [one] for key, one in outputs.items()}
        number, made = self.writer.execute("small", run, node, inputs, wanted, facts={"seed": 42})
        self.log.node(self.store, node, number)
        self.executions[node] = number
        return [ids[0] for ids in made.values()]

    def _examples(self, run: str) -> list[int]:
        taken = content.fingerprint(str(self.data), content.local_files(str(self.data), "*.csv"))
        examples = self._published("Examples", f"examples-{run}", "data.gz", "examples", input_fingerprint=taken)
        config = {"splits": [{"name": "all", "pattern": "*.csv"}]}
        number, made = self.writer.execute(
            "small",
            run,
            "example_gens.component.ContentExampleGen",
            {},
            {"examples": [examples]},
            facts={"seed": 42},
            input_base=str(self.data),
            input_config=json.dumps(config),
        )
        self.log.node(self.store, "example_gens.component.ContentExampleGen", number)
        return made["examples"]

    def _published(self, kind: str, folder: str, file: str, text: str, **properties: Any) -> Any:
        path = self.folder / "artifacts" / folder
        (path / file).parent.mkdir(parents=True)
        (path / file).write_text(text)
        return self.writer.artifact(kind, str(path), digest=tree_digest(path), **properties)

    def _model(self, run: str) -> Any:
        return self._published("Model", f"model-{run}", "Format-Serving/saved_model.pb", f"model of {run}")

    def _decide(self, run: str, model: int) -> tuple[int, int]:
        digest = self.artifact(model).custom_properties["digest"].string_value
        said = json.dumps({"blessed": True, "model": {"id": model, "digest": digest}})
        about = {"blessed": 1, "model_id": model, "model_digest": digest}
        decision = self._published("components.GateDecision", f"decision-{run}", "decision.json", said, **about)
        bound = {"decision_uri": decision.uri, "decision_digest": hashlib.sha256(said.encode()).hexdigest()}
        blessing = self._published(
            "ModelBlessing",
            f"blessing-{run}",
            "BLESSED",
            bound["decision_digest"],
            blessed=1,
            current_model_id=model,
            **bound,
        )
        made = self._execute(run, "DeployGate", {"model": [model]}, decision=decision, blessing=blessing)
        return made[0], made[1]

    def _pushed(self, model: int, decision: int, blessing: int) -> Any:
        export = Path(self.artifact(model).uri, "Format-Serving")
        published = layout.publish(export, self.folder / "models" / "small", expected_digest=tree_digest(export))
        digest = self.artifact(blessing).custom_properties["decision_digest"].string_value
        facts = {
            "pushed": 1,
            "model_id": model,
            "pushed_version": str(published.version),
            "pushed_destination": published.path,
            "audit_digest": published.audit_digest,
            "decision_uri": self.artifact(decision).uri,
            "decision_digest": digest,
        }
        record = self._published("PushedModel", f"pushed-{published.version}", "pushed.json", json.dumps(facts), **facts)
        record.custom_properties["record_digest"].CopyFrom(record.custom_properties["digest"])
        record.custom_properties["digest"].string_value = published.digest
        return record

    def collected(self, artifact: int) -> None:
        """What gc leaves of an artifact."""
        gone = self.artifact(artifact)
        for file in sorted(Path(gone.uri).rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        Path(gone.uri).rmdir()
        audit_log.append(self.places.audit_log, "gc", artifacts={str(artifact): {}}, batch="1")
        gone.state = 4
        self.store.put_artifacts([gone])


@pytest.fixture
def small(tmp_path: Path, store_writer: Any) -> Small:
    """A finished run whose model is live."""
    return Small(tmp_path, store_writer).run()
