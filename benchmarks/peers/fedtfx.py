"""Our trainer: a whole training in this process, from FederatedSplit's blocks on disk, with records and checkpoints.

python benchmarks/peers/fedtfx.py --workload C --executor local
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import turns
from workloads import ROOT, Workload, chosen, initial_weights, load

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(ROOT))
from benchmarks.peers import artifact
from components.federated_trainer.executors import use_threads
from components.federated_trainer.rounds import Job, train
from pipeline.train_config import TrainConfig


class NoTurnLeft(Exception):
    """Ends the training."""


def main() -> None:
    """Makes ready and runs rounds; see the module's docstring."""
    parser = turns.parser()
    parser.add_argument("--executor", choices=["local", "tff", "beam"], default="local")
    parser.add_argument("--population", type=int, help="clients there are, of which the workload's number takes part")
    options = parser.parse_args()
    workload = chosen(options)
    use_threads({"executor": options.executor, "clients_per_round": workload.clients})  # as the training process does
    with tempfile.TemporaryDirectory(prefix="training-") as folder:
        images, labels = load(workload)
        uri = artifact.write(Path(folder, "clients"), images, labels, options.population)
        del images, labels
        job = _job(workload, options.executor, uri, Path(folder))
        talk = turns.Turns(options)

        def report(result: Any) -> None:
            talk.done(result.metrics["loss"])
            if not talk.wait():
                raise NoTurnLeft

        talk.wait()
        try:
            train(job, report)
        except NoTurnLeft:
            return


def _job(workload: Workload, executor: str, uri: str, folder: Path) -> Job:
    module = f"benchmarks.models.{workload.model}"
    model = importlib.import_module(module).build_model()
    model.set_weights(initial_weights(workload))
    model.save(folder / "initial", save_format="tf")
    settings = TrainConfig(
        executor=executor,
        rounds=1 << 30,  # `NoTurnLeft` ends it
        clients_per_round=workload.clients,
        batch_size=workload.batch,
        client_learning_rate=workload.learning_rate,
        shuffle=False,
    ).settings("benchmark")
    places = {name: str(folder / name) for name in ("model_dir", "run_dir", "state_dir")}
    return Job(module=module, examples_uri=uri, settings=settings, seed=1, warm_start=str(folder / "initial"), **places)


if __name__ == "__main__":
    main()
