"""The Pusher's inputs: the stock ones, and what the model came from."""

from __future__ import annotations

from tfx.types import component_spec, standard_artifacts
from tfx.types.standard_component_specs import PusherSpec

from components.artifacts import FederatedExamples, GateDecision

# What the statement about a pushed model lists beside model and blessing; base_model is what a warm start began from.
ORIGINS = {
    "examples": standard_artifacts.Examples,
    "schema": standard_artifacts.Schema,
    "federated_examples": FederatedExamples,
    "base_model": standard_artifacts.Model,
    "decision": GateDecision,
}


class AtomicPusherSpec(PusherSpec):
    """ComponentSpec of AtomicPusher."""

    INPUTS = {
        **PusherSpec.INPUTS,
        **{key: component_spec.ChannelParameter(type=kind, optional=True) for key, kind in ORIGINS.items()},
    }
