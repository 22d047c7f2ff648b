"""Asks models: a model server over gRPC or REST, or a SavedModel in this process. Loads neither until an address needs it."""

from serving.client.answers import Answer, Classified, Metadata, Regressed, RequestError, Target, VersionStatus
from serving.client.client import Client, connect

__all__ = [
    "Answer",
    "Classified",
    "Client",
    "Metadata",
    "Regressed",
    "RequestError",
    "Target",
    "VersionStatus",
    "connect",
]
