"""Messages that neither tensorflow-serving-api nor grpc brings: two configuration files' and those of grpc.health.v1.

From TensorFlow Serving's config/ssl_config.proto and config/monitoring_config.proto and from gRPC's health.proto; in a pool of
their own, so that a package that does bring them may be in the process.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from errors import ConfigError

UNKNOWN, SERVING, NOT_SERVING, SERVICE_UNKNOWN = range(4)  # of HealthCheckResponse.ServingStatus
# Message -> its fields in order of their numbers, which start at 1. An enum is a number on the wire.
MESSAGES = {
    "tensorflow.serving.SSLConfig": "server_key string, server_cert string, custom_ca string, client_verify bool",
    "tensorflow.serving.PrometheusConfig": "enable bool, path string",
    "tensorflow.serving.MonitoringConfig": "prometheus_config tensorflow.serving.PrometheusConfig",
    "grpc.health.v1.HealthCheckRequest": "service string",
    "grpc.health.v1.HealthCheckResponse": "status int32",
}


def _pool() -> descriptor_pool.DescriptorPool:
    pool, kinds = descriptor_pool.DescriptorPool(), descriptor_pb2.FieldDescriptorProto
    for full_name, fields in MESSAGES.items():
        package, _, name = full_name.rpartition(".")
        file = descriptor_pb2.FileDescriptorProto(name=full_name, package=package, syntax="proto3")
        message = file.message_type.add(name=name)
        for number, (label, kind) in enumerate((field.split() for field in fields.split(", ")), start=1):
            field = message.field.add(name=label, number=number, label=kinds.LABEL_OPTIONAL)
            if kind in MESSAGES:
                file.dependency.append(kind)
                field.type, field.type_name = kinds.TYPE_MESSAGE, f".{kind}"
            else:
                field.type = getattr(kinds, f"TYPE_{kind.upper()}")
        pool.AddSerializedFile(file.SerializeToString())
    return pool


_POOL = _pool()
_FACTORY = message_factory.MessageFactory(_POOL)


def message(full_name: str) -> Any:
    """Returns the class of one of MESSAGES."""
    return _FACTORY.GetPrototype(_POOL.FindMessageTypeByName(full_name))


def read_text(path: Path, full_name: str, flag: str) -> Any:
    """Reads a text proto that a flag names.

    Raises:
      ConfigError: it cannot be read; says where it is wrong and never what stands there, which may be a key.
    """
    kind = full_name.rpartition(".")[2]
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), message(full_name)())
    except OSError as error:
        raise ConfigError(f"cannot read {path} (--{flag}): {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} (--{flag}) is not text; expected a {kind} as text proto.") from None
    except text_format.ParseError as error:
        place = re.match(r"\d+:\d+", str(error))
        where = f" at line {place[0].replace(':', ', column ')}" if place else ""
        raise ConfigError(f"{path} (--{flag}) is wrong{where}; expected a {kind} as text proto.") from None
