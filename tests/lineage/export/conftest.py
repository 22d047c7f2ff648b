"""A real ML Metadata store of two pipelines, as small as one with all that is easily got wrong can be."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from lineage import reading
from lineage.digests import tree_digest
from lineage.export import gathering
from lineage.export.scope import Scope
from lineage.places import Places
from serving import layout
from tests.lineage.conftest import STATES, StoreWriter

NASTY = 'a"b\\c <d>&amp;{e}|f|[g](h) `i` style :x#y; %% end\nü'
SECRET = "do-not-tell-anybody"
FIRST, CACHED, OTHER = "20260101-000000.000001", "20260102-000000.000001", "20260103-000000.000001"


@dataclass(frozen=True)
class Small:
    """The store, with the ids of what is in it by name."""

    places: Places
    artifacts: dict[str, int]
    executions: dict[str, int]

    def model(self) -> Scope:
        """The scope of the model that is live."""
        with self.places.opened() as store:
            return gathering.scope(store, gathering.of_model(store, self.artifacts["model"]), self.places)

    def run(self, name: str) -> Scope:
        """The scope of a run."""
        with self.places.opened() as store:
            return gathering.scope(store, reading.of_runs(store, [name]), self.places)

    def everything(self) -> Scope:
        """The scope of all there is."""
        with self.places.opened() as store:
            return gathering.scope(store, reading.everything(store), self.places)


class _Small:
    """A run that pushed, one that took data from the cache, failed in a node and died in another; and another pipeline's."""

    def __init__(self, folder: Path) -> None:
        (folder / "root").mkdir()
        self.places = Places(str(folder / "root"), str(folder / "models"), str(folder / "root" / "metadata.sqlite"))
        self.writer = StoreWriter(folder / "root" / "metadata.sqlite")
        self.artifacts: dict[str, int] = {}
        self.executions: dict[str, int] = {}
        export = folder / "export"
        export.mkdir()
        (export / "saved_model.pb").write_bytes(b"a model")
        (folder / "models").mkdir()
        self.published = layout.publish(export, folder / "models" / "digits", expected_digest=tree_digest(export))

    def build(self) -> Small:
        self._first()
        self._cached()
        self._other()
        return Small(self.places, self.artifacts, self.executions)

    def _run(self, name, pipeline, run, node, inputs, outputs, state=STATES.COMPLETE, **parameters) -> None:
        """`outputs`: key -> (name, type, properties) of a new artifact, or the name of one that is there."""
        taken = {key: [self.artifacts[one]] for key, one in inputs.items()}
        made = {
            key: [self.artifacts[one] if isinstance(one, str) else self._artifact(pipeline, node, *one)]
            for key, one in outputs.items()
        }
        facts = {"seed": 42, "git_commit": "c0ffee"}
        number, ids = self.writer.execute(pipeline, run, node, taken, made, state, facts, **parameters)
        self.executions[name] = number
        self.artifacts |= {one[0]: ids[key][0] for key, one in outputs.items() if not isinstance(one, str)}

    def _artifact(self, pipeline, node, name, kind, properties):
        uri = f"{self.places.root}/{pipeline}/{node}/{name}"
        return self.writer.artifact(kind, uri, **{"digest": hashlib.sha256(uri.encode()).hexdigest(), **properties})

    def _first(self) -> None:
        secret = {
            "custom_config": f'{{"password": "{SECRET}"}}',
            "input_base": f"https://me:{SECRET}@data.example/d",
            "seed": 42,
        }
        self._run("gen", "digits", FIRST, "ExampleGen", {}, {"examples": ("examples", "Examples", {})}, **secret)
        training = {"algorithm": "fedavg", "rounds": 40, "train_loss": 0.25}
        outputs = {"model": ("model", "Model", training), "model_run": ("model_run", "ModelRun", {"digest": ""})}
        self._run("train", "digits", FIRST, "Trainer", {"examples": "examples"}, outputs, settings='{"rounds": 40}')
        inputs = {"model": "model", "examples": "examples"}
        gate = {"blessed": 1, "model_id": self.artifacts["model"]}
        outputs = {"decision": ("decision", "components.GateDecision", gate), "blessing": ("blessing", "ModelBlessing", gate)}
        self._run("gate", "digits", FIRST, "DeployGate", inputs, outputs)
        push = {
            "pushed": 1,
            "model_id": self.artifacts["model"],
            "digest": self.published.digest,
            "pushed_destination": self.published.path,
        }
        inputs = {"model": "model", "model_blessing": "blessing"}
        self._run("push", "digits", FIRST, "Pusher", inputs, {"pushed_model": ("pushed", "PushedModel", push)})

    def _cached(self) -> None:
        cached = STATES.CACHED
        self._run("gen again", "digits", CACHED, "ExampleGen", {}, {"examples": "examples"}, cached)
        again = {"model": "model", "model_run": "model_run"}
        self._run("train again", "digits", CACHED, "Trainer", {"examples": "examples"}, again, cached)
        judged = {"model": "model", "examples": "examples"}
        half = {"evaluation": ("half", "ModelEvaluation", {})}
        self._run("evaluation failed", "digits", CACHED, "Evaluator", judged, half, STATES.FAILED)
        self._run("gate stopped", "digits", CACHED, "DeployGate", judged, {}, STATES.CANCELED)
        self._run("push died", "digits", CACHED, "Pusher", {"model": "model"}, {}, STATES.RUNNING)

    def _other(self) -> None:
        """Another pipeline, which compares its model with the first one's; and an importer, which found what was there."""
        self._run("import", "reviews", OTHER, "Importer", {}, {"result": "examples"})
        self._run("train b", "reviews", OTHER, "Trainer", {"examples": "examples"}, {"model": ("model b", "Model", {})})
        inputs = {"model": "model b", "served_model": "model"}
        outputs = {"scores": ("scores", "components.PairedScores", {})}
        self._run("pair", "reviews", OTHER, "PairedEvaluator", inputs, outputs)
        self._run(
            "odd",
            NASTY,
            NASTY.replace("\n", " "),
            NASTY,
            {NASTY: "scores"},
            {NASTY: ("odd", "Odd", {NASTY: NASTY, "at": "gs://bucket/key"})},
        )


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """The store; to be read only."""
    return _Small(tmp_path_factory.mktemp("small")).build()
