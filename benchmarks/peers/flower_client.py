"""The client of `flower_ray`; a module of its own, so that Ray's actors import it once and keep data and model."""

from __future__ import annotations

import functools

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch_model import build
from workloads import Workload, load, scaled


@functools.cache
def _data(workload: Workload) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = load(workload)
    return torch.tensor(scaled(images)), torch.tensor(labels)


@functools.cache
def _model(workload: Workload) -> torch.nn.Module:
    torch.set_num_threads(1)  # as many actors as cores
    return build(workload)


def client_app(workload: Workload) -> ClientApp:
    """One epoch of plain SGD over the examples of the client that the context names."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        model, (images, labels) = _model(workload), _data(workload)
        client = int(context.node_config["partition-id"])
        model.load_state_dict(message.content["arrays"].to_torch_state_dict())
        optimizer = torch.optim.SGD(model.parameters(), lr=workload.learning_rate)
        total = torch.zeros([])
        for x, y in zip(images[client].split(workload.batch), labels[client].split(workload.batch), strict=True):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(y)
        examples = len(labels[client])
        metrics = MetricRecord({"loss": total.item() / examples, "num-examples": examples})
        content = RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": metrics})
        return Message(content=content, reply_to=message)

    return app
