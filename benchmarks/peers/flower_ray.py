"""Flower's simulation on Ray with PyTorch: two actors, the stock FedAvg strategy.

.tools/peers/bin/python benchmarks/peers/flower_ray.py --workload C
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from typing import Any

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import turns
from flower_client import client_app
from flwr.app import ArrayRecord, Context, Message
from flwr.server import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation
from torch_model import build
from workloads import chosen

ACTORS = 2


class NoTurnLeft(Exception):
    """Ends the strategy's loop."""


class InTurn(FedAvg):
    """Flower's own federated averaging, which begins a round when it is this system's turn."""

    def __init__(self, talk: turns.Turns, clients: int):
        super().__init__(fraction_evaluate=0.0, min_train_nodes=clients, min_available_nodes=clients)
        self._talk = talk

    def configure_train(self, server_round: int, arrays: ArrayRecord, config: Any, grid: Grid) -> Iterable[Message]:
        if not self._talk.wait():
            raise NoTurnLeft
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> tuple[Any, Any]:
        arrays, metrics = super().aggregate_train(server_round, replies)
        self._talk.done(metrics["loss"])
        return arrays, metrics


def main() -> None:
    """Makes ready and runs rounds; see the module's docstring."""
    options = turns.parser().parse_args()
    workload = chosen(options)
    logging.getLogger("flwr").setLevel(logging.WARNING)
    server = ServerApp()

    @server.main()
    def run(grid: Grid, context: Context) -> None:
        strategy = InTurn(turns.Turns(options), workload.clients)
        try:
            strategy.start(grid, ArrayRecord(build(workload).state_dict()), num_rounds=1 << 30)
        except NoTurnLeft:
            return

    run_simulation(
        server,
        client_app(workload),
        num_supernodes=workload.clients,
        backend_config={"init_args": {"num_cpus": ACTORS}, "client_resources": {"num_cpus": 1, "num_gpus": 0.0}},
    )


if __name__ == "__main__":
    main()
