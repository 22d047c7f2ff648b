"""The server's command line, with the names and defaults TensorFlow Serving gives its flags.

Ours are other where that is kinder: we listen on loopback, REST is on, a config file is followed, seconds may have fractions,
and a flag that is not known, or that we cannot follow, is an error.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

from errors import ConfigError
from lineage.command_line import Parser
from serving.layout import model_directory
from serving.server import flag_values

MAX_BODY_BYTES = 64 * 1024 * 1024
_CPUS = len(os.sched_getaffinity(0))

# Flags of the real server that would need what we have not: said, so that nobody believes they had an effect.
_NOT_HERE = frozenset(
    (
        "enable_profiler",
        "enable_serialization_as_tensor_content",
        "enable_signature_method_name_check",
        "flush_filesystem_caches",
        "grpc_channel_arguments",
        "grpc_socket_path",
        "mixed_precision",
        "num_tflite_interpreters_per_pool",
        "num_tflite_pools",
        "num_unload_threads",
        "platform_config_file",
        "prefer_tflite_model",
        "remove_unused_fields_from_bundle_metagraph",
        "skip_initialize_tpu",
        "tensorflow_session_config_file",
        "thread_pool_factory_config_file",
        "use_alts_credentials",
        "use_tflite_model",
        "version",
        "xla_cpu_compilation_enabled",
        "xla_gpu_compilation_enabled",
    )
)
# What a flag's text is read with.
_Port = Annotated[int, flag_values.port]
_File = Annotated[Path | None, flag_values.local_path]
_Tags = Annotated[tuple[str, ...], flag_values.tags]
_Boolean = Annotated[bool, flag_values.boolean]
_Fraction = Annotated[float, flag_values.fraction]
_Seconds = Annotated[float, flag_values.seconds]
_SomeSeconds = Annotated[float, flag_values.some_seconds]
_Milliseconds = Annotated[int, flag_values.at_least(1, "milliseconds")]
_Microseconds = Annotated[int, flag_values.at_least(0, "microseconds")]
_Retries = Annotated[int, flag_values.at_least(0, "retries")]
_Iterations = Annotated[int, flag_values.at_least(1, "iterations")]
_Bytes = Annotated[int, flag_values.at_least(1, "bytes")]
_MessageBytes = Annotated[int, flag_values.at_least(1, "bytes", 2**31 - 1)]
_Connections = Annotated[int, flag_values.at_least(1, "connections")]
_Threads = Annotated[int, flag_values.at_least(1, "threads")]
_Automatic = Annotated[int, flag_values.at_least(0, "threads")]


@dataclass(frozen=True)
class Flags:
    """What the server is told; each flag's meaning stands beside it."""

    host: Annotated[str, "address to listen on"] = "127.0.0.1"
    port: Annotated[_Port, "gRPC port; 0 is off"] = 8500
    rest_api_port: Annotated[_Port, "REST port; 0 is off"] = 8501
    ssl_config_file: Annotated[_File, "text proto SSLConfig: TLS for gRPC and REST"] = None
    admin_token_file: Annotated[_File, "holds the token without which no call may change the configuration"] = None
    max_connections: Annotated[_Connections, "open at once over REST"] = 4096

    model_name: Annotated[str, "the model's name in requests"] = "default"
    model_base_path: Annotated[_File, "directory that holds the model's versions"] = None
    model_config_file: Annotated[_File, "text proto ModelServerConfig; name and base path then do not count"] = None
    model_config_file_poll_wait_seconds: Annotated[_Seconds, "between looks at the config file; 0 looks once"] = 1.0
    file_system_poll_wait_seconds: Annotated[_Seconds, "between looks for versions; 0 looks once, negative never"] = 1.0
    allow_version_labels_for_unavailable_models: Annotated[
        _Boolean, "a label that is new may name a version that is not available"
    ] = False
    saved_model_tags: Annotated[_Tags, "of the graph to load, divided by commas"] = ("serve",)
    max_num_load_retries: Annotated[_Retries, "after a version's first load that failed"] = 5
    load_retry_interval_micros: Annotated[_Microseconds, "between two of those"] = 60_000_000
    num_load_threads: Annotated[_Automatic, "that load versions; 0 is two for each model, as one load may hang"] = 0
    enable_model_warmup: Annotated[_Boolean, "answer the version's warm-up requests before it is available"] = True
    num_request_iterations_for_warmup: Annotated[_Iterations, "of each warm-up request"] = 1

    rest_api_timeout_in_ms: Annotated[_Milliseconds, "that a REST call may run"] = 30_000
    rest_api_num_threads: Annotated[_Threads, "that answer REST"] = 4 * _CPUS
    rest_api_max_body_bytes: Annotated[_Bytes, "of a REST request, inflated"] = MAX_BODY_BYTES
    rest_api_request_read_seconds: Annotated[_SomeSeconds, "in which a REST request must have arrived"] = 30.0
    rest_api_enable_cors_support: Annotated[_Boolean, "let pages of other origins ask"] = False
    grpc_max_threads: Annotated[_Threads, "that answer gRPC"] = 4 * _CPUS
    grpc_max_message_bytes: Annotated[_MessageBytes, "of a gRPC request, inflated"] = MAX_BODY_BYTES
    enable_grpc_healthcheck_service: Annotated[_Boolean, "answer grpc.health.v1"] = False
    monitoring_config_file: Annotated[_File, "text proto MonitoringConfig: metrics for Prometheus"] = None

    enable_batching: Annotated[_Boolean, "run requests together"] = False
    batching_parameters_file: Annotated[_File, "text proto BatchingParameters; needs --enable_batching"] = None
    enable_per_model_batching_parameters: Annotated[_Boolean, "read batching_params.pbtxt in a version's directory"] = False
    tensorflow_session_parallelism: Annotated[_Automatic, "threads within and between operations; 0 is automatic"] = 0
    tensorflow_intra_op_parallelism: Annotated[_Automatic, "threads within an operation; 0 is automatic"] = 0
    tensorflow_inter_op_parallelism: Annotated[_Automatic, "threads between operations; 0 is automatic"] = 0
    per_process_gpu_memory_fraction: Annotated[_Fraction, "of a GPU's memory; 0 is automatic"] = 0.0


def parse(arguments: Sequence[str]) -> Flags:
    """Reads `--flag=value` and `--flag value`; a boolean also as `--flag` alone.

    Raises:
      ConfigError: an unknown flag, a value that is not allowed, or flags that do not go together.
    """
    for name in (argument[2:].partition("=")[0] for argument in arguments if argument.startswith("--")):
        if name in _NOT_HERE:
            raise ConfigError(f"--{name} is a flag of TensorFlow Serving's that this server cannot follow; leave it out.")
    flags = Flags(**vars(_parser().parse_args(arguments)))
    _check_models(flags)
    _check_ports(flags)
    _check_parallelism(flags)
    if flags.batching_parameters_file and not flags.enable_batching:
        raise ConfigError("--batching_parameters_file needs --enable_batching; add that or leave the file out.")
    return flags


def _check_models(flags: Flags) -> None:
    model_directory(".", flags.model_name)  # checks the name
    if not (flags.model_base_path or flags.model_config_file):
        raise ConfigError("expected --model_base_path or --model_config_file, got neither; give one of them.")


def _check_ports(flags: Flags) -> None:
    if not flags.port and not flags.rest_api_port:
        raise ConfigError("--port and --rest_api_port are both 0, so nothing would listen; give one of them a port.")
    if flags.port == flags.rest_api_port:
        raise ConfigError(f"--port and --rest_api_port are both {flags.port}; expected two different ports.")


def _check_parallelism(flags: Flags) -> None:
    if flags.tensorflow_session_parallelism and (
        flags.tensorflow_intra_op_parallelism or flags.tensorflow_inter_op_parallelism
    ):
        raise ConfigError(
            "--tensorflow_session_parallelism sets both others; expected it alone, or --tensorflow_intra_op_parallelism and"
            " --tensorflow_inter_op_parallelism without it."
        )


_METAVARS: dict[Any, str] = {
    str: "TEXT",
    flag_values.port: "PORT",
    flag_values.local_path: "PATH",
    flag_values.tags: "TAG,TAG",
    flag_values.boolean: "true|false",
    flag_values.fraction: "FRACTION",
    flag_values.seconds: "SECONDS",
    flag_values.some_seconds: "SECONDS",
}  # of other readers: NUMBER


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m serving serve",
        description="Serves models over TensorFlow Serving's REST and gRPC.",
        usage="%(prog)s (--model_base_path PATH | --model_config_file PATH) [--FLAG=VALUE ...]",
    )
    hints = get_type_hints(Flags, include_extras=True)
    for flag in fields(Flags):
        _, *read, told = get_args(hints[flag.name])
        kind = read[0] if read else str
        options: dict[str, Any] = {"type": kind, "default": flag.default, "metavar": _METAVARS.get(kind, "NUMBER")}
        options["help"] = told + _default(flag.default)
        if isinstance(flag.default, bool):
            options |= {"nargs": "?", "const": True}
        parser.add_argument(f"--{flag.name}", **options)
    return parser


def _default(value: Any) -> str:
    """A flag's default as it would be given; nothing if there is none."""
    if value is None:
        return ""
    text = str(value).lower() if isinstance(value, bool) else ",".join(value) if isinstance(value, tuple) else f"{value}"
    return f" ({text.removesuffix('.0') if isinstance(value, float) else text})"
