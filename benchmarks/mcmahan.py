"""Does it learn as published? McMahan et al. 2017 on MNIST, and algorithms compared on a Dirichlet(0.1) division.

    python benchmarks/mcmahan.py                                     # every case with its tuned learning rates, seed 1
    python benchmarks/mcmahan.py --cases 2nn-iid 2nn-iid-numpy --seeds 1 2 3
    python benchmarks/mcmahan.py --cases 2nn-iid --client-rates 0.05 0.1 0.2    # what the rates here were tuned with

All 60,000 examples (FEDTFX_TEST_DATA names the folder that holds mnist/) are divided among 100 clients by FederatedSplit's own
partitioners; 10 clients are drawn in each round, train in batches of 10, and the global model is evaluated on the 10,000 test
images after every round, all by the trainer itself. The cases that end in -numpy train on the same division by a plain NumPy
loop that shares no code with the trainer: a difference that it has too is not the trainer's.

As in the paper, rounds are counted on the best test accuracy so far, and learning rates are tuned for each case: the best of a
small sweep at seed 1 (the paper does not tell its own). Rounds are whole ones here; the paper interpolates between two.

The table goes to standard output, and all curves to curves.csv and curves.svg in `--out`. The seed decides the division, the
initial weights, who is drawn and in which order examples are used.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from benchmarks import mnist_clients  # noqa: E402
from benchmarks.curves import Curve, write_csv, write_picture  # noqa: E402
from errors import TrainingError  # noqa: E402

_CLIENTS, _IN_A_ROUND, _BATCH = 100, 10, 10
NUMPY = "numpy"


@dataclass(frozen=True)
class Case:
    """What is trained on what, until which test accuracy.

    rates: learning rate of the clients and of the server. rounds: at most. algorithm: of the trainer, or NUMPY. parameters: of
    the strategy. published: rounds to the target that the paper has, and independent re-runs of it. to_the_end: goes on after
    the target, to compare accuracies.
    """

    model: str
    strategy: str
    target: float
    rates: tuple[float, float]
    rounds: int
    algorithm: str = "fedavg"
    epochs: int = 1
    parameters: dict[str, Any] = field(default_factory=dict)
    published: tuple[int | None, int | None] = (None, None)
    to_the_end: bool = False


def _dirichlet(algorithm: str, rates: tuple[float, float]) -> Case:
    return Case("mnist_2nn", "dirichlet", 0.95, rates, 200, algorithm, parameters={"alpha": 0.1}, to_the_end=True)


CASES = {
    "2nn-iid": Case("mnist_2nn", "iid", 0.97, (0.2, 1.0), 300, published=(87, None)),
    "2nn-iid-numpy": Case("mnist_2nn", "iid", 0.97, (0.2, 1.0), 300, NUMPY),
    "2nn-shards": Case("mnist_2nn", "shards", 0.97, (0.2, 1.0), 1500, published=(664, None)),
    "2nn-shards-numpy": Case("mnist_2nn", "shards", 0.97, (0.2, 1.0), 1500, NUMPY),
    "dirichlet-fedavg": _dirichlet("fedavg", (0.2, 1.0)),
    "dirichlet-fedadam": _dirichlet("fedadam", (0.2, 0.01)),
    "dirichlet-scaffold": _dirichlet("scaffold", (0.1, 1.0)),
    "cnn-iid": Case("mnist_cnn", "iid", 0.99, (0.2, 1.0), 60, epochs=5, published=(20, 26)),
}
# Cases that are asked for, and drawn, together.
_GROUPS = {"dirichlet": [name for name in CASES if name.startswith("dirichlet-")]}


class _Enough(Exception):
    """Ends a training that has reached its target."""


def main() -> int:
    """Runs what the options ask for, says how it goes, prints the table and writes the curves."""
    options = _parser().parse_args()
    if not mnist_clients.data_folder().is_dir():
        print(f"No MNIST in {mnist_clients.data_folder()}: let FEDTFX_TEST_DATA name the folder that holds mnist/.")
        return 1
    curves: list[Curve] = []
    with tempfile.TemporaryDirectory(prefix="mcmahan-") as folder:
        training, test = (
            mnist_clients.write_examples(Path(folder), side) for side in (mnist_clients.TRAIN, mnist_clients.TEST)
        )
        for curve in _runs(options):
            curves.append(curve)
            _train(curve, training, test, folder)
            options.out.mkdir(parents=True, exist_ok=True)
            write_csv(options.out / "curves.csv", curves)
            write_picture(options.out / "curves.svg", curves)
    _print_table(curves)
    print(f"\ncurves: {options.out / 'curves.csv'} and {options.out / 'curves.svg'}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=[*CASES, *_GROUPS], default=list(CASES), help="`dirichlet`: all of these")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--rounds", type=int, help="at most so many instead of the case's own number")
    parser.add_argument("--client-rates", nargs="+", type=float, help="clients' learning rates to try; the case's tuned one")
    parser.add_argument("--server-rates", nargs="+", type=float, help="server's learning rates to try; the case's tuned one")
    parser.add_argument("--out", type=Path, default=ROOT / "pipeline_root" / "mcmahan", help="folder for the curves")
    return parser


def _runs(options: argparse.Namespace) -> Iterator[Curve]:
    names = dict.fromkeys(name for given in options.cases for name in _GROUPS.get(given, [given]))
    for name in names:
        case = CASES[name]
        plot = next((group for group, members in _GROUPS.items() if name in members), name.removesuffix(f"-{NUMPY}"))
        client, server = ([rate] for rate in case.rates)
        for rates in itertools.product(options.client_rates or client, options.server_rates or server):
            for seed in options.seeds:
                yield Curve(name, plot, seed, rates, case.target, options.rounds or case.rounds)


def _train(curve: Curve, training: str, test: str, folder: str) -> None:
    """Divides and trains; the curve grows round by round."""
    case = CASES[curve.case]
    trained = _by_numpy if case.algorithm == NUMPY else _by_trainer
    with tempfile.TemporaryDirectory(dir=folder) as place:
        parameters = {"clients": _CLIENTS, **case.parameters}
        uri = mnist_clients.divide(training, test, Path(place, "clients"), case.strategy, parameters, curve.seed)
        try:
            trained(case, curve, uri, Path(place))
        except _Enough:
            return
        except TrainingError as error:  # a learning rate may be too high; the others are still of interest
            print(f"{curve.title}: {error}", file=sys.stderr, flush=True)


def _by_trainer(case: Case, curve: Curve, uri: str, place: Path) -> None:
    from components.federated_trainer.executors import use_threads
    from components.federated_trainer.rounds import Job, train
    from pipeline.train_config import TrainConfig
    from pipeline.train_sections import CheckpointConfig, EvaluationConfig

    settings = TrainConfig(
        algorithm=case.algorithm,
        rounds=curve.rounds,
        clients_per_round=_IN_A_ROUND,
        local_epochs=case.epochs,
        batch_size=_BATCH,
        client_learning_rate=curve.rates[0],
        server_learning_rate=curve.rates[1],
        evaluation=EvaluationConfig(every=1, metric="accuracy"),
        checkpoint=CheckpointConfig(every=curve.rounds),
    ).settings("benchmark")
    use_threads(settings)
    model_dir, run_dir, state_dir = (str(place / name) for name in ("model", "run", "state"))
    job = Job(f"benchmarks.models.{case.model}", uri, settings, curve.seed, model_dir, run_dir, state_dir)
    # The metric is a float32: 0.95 of the images would be a little less.
    train(job, lambda result: _note(curve, round(result.heldout["accuracy"], 6), result.seconds))


def _by_numpy(case: Case, curve: Curve, uri: str, place: Path) -> None:
    from benchmarks.numpy_fedavg import accuracies

    clients, (test,) = (mnist_clients.examples(uri, side) for side in ("train", "eval"))
    rounds = accuracies(
        clients, test, in_a_round=_IN_A_ROUND, epochs=case.epochs, batch=_BATCH, rate=curve.rates[0], seed=curve.seed
    )
    started = time.monotonic()
    for accuracy in itertools.islice(rounds, curve.rounds):
        _note(curve, accuracy, time.monotonic() - started)
        started = time.monotonic()


def _note(curve: Curve, accuracy: float, seconds: float) -> None:
    curve.accuracies.append(accuracy)
    curve.seconds.append(seconds)
    print(_progress(curve), file=sys.stderr, flush=True)
    if curve.reached and not CASES[curve.case].to_the_end:
        raise _Enough


def _progress(curve: Curve) -> str:
    done = len(curve.accuracies)
    left = median(curve.seconds) * (curve.rounds - done)
    rounds = f"{curve.title}, round {done} of {'' if CASES[curve.case].to_the_end else 'at most '}{curve.rounds}"
    return (
        f"{rounds}: accuracy {curve.accuracies[-1]:.4f}, best {curve.best[-1]:.4f}, target {curve.target:g},"
        f" {curve.seconds[-1]:.2f} s, {left:.0f} s left"
    )


def _print_table(curves: Sequence[Curve]) -> None:
    print("| case | target | rates: client, server | seeds | rounds here | paper | re-runs | best accuracy | last 10 rounds |")
    print("|---|---:|---:|---|---:|---:|---:|---:|---:|")
    for (name, rates), group in itertools.groupby(curves, lambda curve: (curve.case, curve.rates)):
        print(_row(name, rates, list(group)))


def _row(name: str, rates: tuple[float, float], curves: Sequence[Curve]) -> str:
    case = CASES[name]
    rounds = ", ".join(str(curve.reached or f"over {len(curve.accuracies)}") for curve in curves)
    cells = [name, f"{case.target:.0%}", f"{rates[0]:g}, {rates[1]:g}", ", ".join(str(curve.seed) for curve in curves), rounds]
    cells += ["" if number is None else str(number) for number in case.published]
    cells.append(", ".join(f"{max(curve.accuracies, default=0):.4f}" for curve in curves))
    cells.append(", ".join(f"{mean(curve.accuracies[-10:] or [0]):.4f}" for curve in curves) if case.to_the_end else "")
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
