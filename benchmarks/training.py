"""What a round of federated averaging costs: our trainer, Flower, pfl, Keras and a loop written by hand, in turn in one run.

    python benchmarks/training.py                                        # workloads A, B and C
    python benchmarks/training.py --workloads C --systems by-hand fedtfx-local fedtfx-tff --rounds 21
    python benchmarks/training.py --sweep                                # cost against the numbers of clients and of examples
    python benchmarks/training.py --memory                               # over 500 rounds, and with 100 times the clients

Real MNIST (FEDTFX_TEST_DATA names the folder that holds mnist/), plain SGD, one local epoch, all clients in every round, the
same weights to begin with and no shuffling, so all systems report the same mean training loss; only Keras, which trains on
everything in one place, learns faster. Each system runs in a process of its own and makes one round when it is its turn, so
that what else the machine does meets all alike; ratios are medians of the ratios within a turn. Peak memory is the sum of the
PSS of a system's processes (a page that n of them share counts as an n-th in each), looked at while it makes ready and runs its
warm-up rounds, and after every round.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from statistics import median

import numpy as np
from peers.runner import SYSTEMS, USUAL, Process, Refused, take_turns
from peers.workloads import WORKLOADS, data_folder

REFERENCE, OURS = "by-hand", "fedtfx-local"
_WARM_UP = 2
# Clients and examples of each, for `--sweep`; from next to nothing to all of MNIST.
_GRID = [(clients, examples) for examples in (6, 60, 600) for clients in (10, 100, 1000) if clients * examples <= 60_000]
_MEMORY_ROUNDS, _SETTLED, _POPULATIONS = 500, 50, (100, 10_000)


def main() -> int:
    """Runs what the options ask for and prints tables."""
    options = _parser().parse_args()
    if not data_folder().is_dir():
        print(f"No MNIST in {data_folder()}: let FEDTFX_TEST_DATA name the folder that holds mnist/ with its .gz idx files.")
        return 1
    try:
        if options.memory:
            _memory(options)
        elif options.sweep:
            _sweep(options)
        else:
            for name in options.workloads:
                _compare(name, options)
    except Refused as error:
        print(error)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS))
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), help="unless given, all but fedtfx-tff and fedtfx-beam")
    parser.add_argument("--rounds", type=int, help="timed rounds of each; 7 (500 with --memory) unless given")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--sweep", action="store_true", help=f"{REFERENCE} and ours (or --systems) on workload B's model, batch 6"
    )
    mode.add_argument("--memory", action="store_true", help=f"of {OURS} (or --systems) on workload B")
    return parser


def _compare(name: str, options: argparse.Namespace) -> None:
    """One workload, one table."""
    workload = WORKLOADS[name]
    processes = _started(options.systems or USUAL, ["--workload", name])
    try:
        take_turns(processes, options.rounds or 7, workload.describe())
        print(f"\n{workload.describe()}\n")
        print("| system | s per round | of by-hand | fastest | loss, first round | loss, last round | peak MiB |")
        print("|---|---:|---:|---:|---:|---:|---:|")
        for process in processes:
            print(_row(process, processes))
    finally:
        _stop(processes)
    print(flush=True)


def _row(process: Process, processes: Sequence[Process]) -> str:
    if process.failure:
        return f"| {process.name} | {process.failure} | | | | | |"
    cells = [process.name, f"{median(process.seconds):.4f}", _ratio(process, processes), f"{min(process.seconds):.4f}"]
    cells += [f"{process.losses[0]:.4f}", f"{process.losses[-1]:.4f}", f"{process.peak >> 20:,}"]
    return "| " + " | ".join(cells) + " |"


def _ratio(process: Process, processes: Sequence[Process]) -> str:
    reference = next((one for one in processes if one.name == REFERENCE and not one.failure), None)
    if reference is None:
        return ""
    return f"{median(mine / its for mine, its in zip(process.seconds, reference.seconds, strict=True)):.2f}"


def _sweep(options: argparse.Namespace) -> None:
    """Seconds per round over a grid of clients and examples, and the linear cost model that fits it best."""
    systems = options.systems or [REFERENCE, OURS]
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    print("| clients x examples | " + " | ".join(systems) + " |")
    print("|---|" + "---:|" * len(systems))
    for clients, examples in _GRID:
        size = ["--clients", f"{clients}", "--examples", f"{examples}", "--batch", "6"]
        processes = _started(systems, ["--workload", "B", *size])
        try:
            take_turns(processes, options.rounds or 7, f"{clients:,} x {examples}")
        finally:
            _stop(processes)
        for process in processes:
            if process.failure:
                raise Refused(f"{process.name}: {process.failure}")
            seconds[process.name].append(median(process.seconds))
        print(f"| {clients:,} x {examples} | " + " | ".join(f"{seconds[name][-1]:.4f}" for name in systems) + " |", flush=True)
    for name in systems:
        fixed, client, example = fitted(_GRID, seconds[name])
        print(f"{name}: {fixed * 1e3:.1f} ms a round + {client * 1e3:.3f} ms a client + {example * 1e6:.1f} us an example")


def fitted(grid: Sequence[tuple[int, int]], seconds: Sequence[float]) -> np.ndarray:
    """Least squares of relative errors: seconds of a round, of each client and of each example, float64[3]."""
    rows = np.array([[1, clients, clients * examples] for clients, examples in grid]) / np.array(seconds)[:, None]
    return np.linalg.lstsq(rows, np.ones(len(rows)), rcond=None)[0]


def _memory(options: argparse.Namespace) -> None:
    """Memory after some rounds and after many, then with a small and a large population and the same cohort."""
    systems = options.systems or [OURS]
    print("| system | clients in the population | rounds | MiB then | rounds | MiB then | growth |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    rounds = options.rounds or _MEMORY_ROUNDS
    for name in systems:
        for population in _POPULATIONS if name.startswith("fedtfx") else (None,):
            extra = [] if population is None else ["--population", f"{population}"]
            (process,) = _started([name], ["--workload", "B", *extra])
            try:
                take_turns([process], rounds, f"population {population or 100:,}")
                if process.failure:
                    raise Refused(f"{name}: {process.failure}")
                _print_growth(process, population or WORKLOADS["B"].clients)
            finally:
                _stop([process])


def _print_growth(process: Process, population: int) -> None:
    settled = min(_SETTLED, len(process.memory)) - 1
    then, now = process.memory[settled], process.memory[-1]
    cells = [process.name, f"{population:,}", f"{settled + 1}", f"{then / 2**20:,.1f}", f"{len(process.memory)}"]
    print("| " + " | ".join([*cells, f"{now / 2**20:,.1f}", f"{now / then - 1:+.2%}"]) + " |", flush=True)


def _started(systems: Sequence[str], arguments: Sequence[str]) -> list[Process]:
    """Starts systems one after the other; says which cannot be."""
    processes = []
    for name in systems:
        if (missing := SYSTEMS[name].missing()) is not None:
            print(f"{name}: skipped, {missing}", file=sys.stderr)
            continue
        process = Process(name, arguments)
        processes.append(process)
        process.make_ready(_WARM_UP)
    if not processes:
        raise Refused("None of the systems asked for is there.")
    return processes


def _stop(processes: Sequence[Process]) -> None:
    for process in processes:
        process.stop()


if __name__ == "__main__":
    sys.exit(main())
