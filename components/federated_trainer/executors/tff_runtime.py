"""TFF's native runtime, with a C++ worker that cannot outlive this process.

TFF 0.87's own local context starts the same worker, but leaves it running when the interpreter exits or is killed. Here the
kernel is asked to kill it with its parent, so the worker ends with us however we end.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from components.lifetime import die_with_parent
from errors import TrainingError

_START_SECONDS = 60.0
_MAX_MESSAGE_BYTES = 2_000_000_000


def start(*, intra_op_threads: int) -> subprocess.Popen[bytes]:
    """Starts a worker and makes it the default execution context of this process.

    Must be called from the main thread: the kernel ties the worker to the thread that started it.

    Args:
      intra_op_threads: threads of one TensorFlow operation in the worker; clients of a round already run in parallel.

    Returns:
      The worker's process. Ending it is optional; it ends with this process.

    Raises:
      TrainingError: the worker did not answer within 60 s.
    """
    import portpicker

    port = portpicker.pick_unused_port()
    # TensorFlow's warnings quote the clients' records; as errors they come back over gRPC.
    environment = {**os.environ, "TF_NUM_INTRAOP_THREADS": str(intra_op_threads), "TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [str(_binary()), f"--port={port}"]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=sys.stderr, env=environment, preexec_fn=die_with_parent()
    )
    _set_default_context(_connect(process, port))
    return process


def _binary() -> Path:
    import tensorflow_federated

    return Path(tensorflow_federated.__file__).parent / "data" / "worker_binary"


def _connect(process: subprocess.Popen[bytes], port: int) -> Any:
    import grpc
    from tensorflow_federated.python.core.impl.executors import remote_executor_grpc_stub

    options = [(f"grpc.max_{way}_message_length", _MAX_MESSAGE_BYTES) for way in ("send", "receive")]
    options.append(("grpc.enable_http_proxy", 0))  # gRPC would send even localhost through http_proxy
    channel = grpc.insecure_channel(f"localhost:{port}", options)
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            grpc.channel_ready_future(channel).result(timeout=0.5)
        except grpc.FutureTimeoutError:
            continue
        return remote_executor_grpc_stub.RemoteExecutorGrpcStub(channel)
    raise TrainingError(
        f"TFF's worker did not answer on port {port} (exit code {process.poll()}); see the log for what it wrote and run again."
    )


def _set_default_context(stub: Any) -> None:
    """Does what tff.backends.native.set_sync_local_cpp_execution_context does, over a worker of our own."""
    from tensorflow_federated.python.core.backends.native import compiler
    from tensorflow_federated.python.core.environments.tensorflow_frontend import tensorflow_computation
    from tensorflow_federated.python.core.impl.context_stack import context_stack_impl
    from tensorflow_federated.python.core.impl.execution_contexts import sync_execution_context
    from tensorflow_federated.python.core.impl.executor_stacks import python_executor_stacks
    from tensorflow_federated.python.core.impl.executors import remote_executor
    from tensorflow_federated.python.core.impl.types import placements

    def stack(cardinalities: dict[Any, int]) -> Any:
        executor = remote_executor.RemoteExecutor(stub)
        executor.set_cardinalities({placements.CLIENTS: 0, **cardinalities})
        return executor

    context = sync_execution_context.SyncExecutionContext(
        executor_fn=python_executor_stacks.ResourceManagingExecutorFactory(executor_stack_fn=stack),
        compiler_fn=compiler.desugar_and_transform_to_native,
        transform_args=tensorflow_computation.transform_args,
        transform_result=tensorflow_computation.transform_result,
    )
    context_stack_impl.context_stack.set_default_context(context)
