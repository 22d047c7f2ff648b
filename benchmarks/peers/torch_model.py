"""The workloads' models and one epoch of plain SGD in PyTorch, for the systems that use it."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from workloads import SIDE, Workload, initial_weights


def build(workload: Workload) -> nn.Sequential:
    """The model with the weights that every system starts from; takes [batch, 784], gives logits [batch, 10]."""
    weights = iter(initial_weights(workload))
    layers: list[nn.Module] = [nn.Unflatten(1, (1, SIDE, SIDE))] if workload.convolutions else []
    channels, side = 1, SIDE
    for filters in workload.convolutions:
        convolution = nn.Conv2d(channels, filters, 5, padding=2)
        _set(convolution, next(weights).transpose(3, 2, 0, 1), next(weights))
        layers += [convolution, nn.ReLU(), nn.MaxPool2d(2)]
        channels, side = filters, side // 2
    layers += [nn.Flatten()] if workload.convolutions else []
    for depth, outputs in enumerate((*workload.hidden, 10)):
        kernel, bias = next(weights), next(weights)
        if depth == 0:  # PyTorch flattens channels first
            kernel = kernel.reshape(side, side, channels, outputs).transpose(2, 0, 1, 3).reshape(-1, outputs)
        dense = nn.Linear(*kernel.shape)
        _set(dense, kernel.T, bias)
        layers += [dense, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _set(layer: nn.Conv2d | nn.Linear, kernel: np.ndarray, bias: np.ndarray) -> None:
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(np.ascontiguousarray(kernel)))
        layer.bias.copy_(torch.tensor(bias))
