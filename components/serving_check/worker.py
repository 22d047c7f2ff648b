"""The process that reads the model's files (`inspect`) and then, told to go ahead, calls it without a server (`answer`).

Tasks come as lines of JSON on standard input, one result each goes as a line to standard output. Until `answer` is asked for,
nothing of the model is executed.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from errors import FedtfxError
from modeling.export import EXAMPLES_SIGNATURE


def main() -> int:
    """Runs tasks until there are no more; what the user must act on is an answer {"error": {"type": ..., "message": ...}}."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    for line in sys.stdin:
        task = json.loads(line)
        name = task.pop("task")
        if name != "inspect":
            _fall_silent()
        try:
            result = TASKS[name](**task)
        except FedtfxError as error:
            result = {"error": {"type": type(error).__name__, "message": str(error)}}
        print(json.dumps(result), file=answers, flush=True)
    return 0


def _fall_silent() -> None:
    """From here on examples are seen, which TensorFlow's errors quote, and our log is for anybody."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)


def inspect(directory: str, allowed_ops: list[str]) -> dict[str, Any]:
    """See `inspection.inspect`."""
    from components.serving_check import inspection

    return asdict(inspection.inspect(Path(directory), allowed_ops))


def answer(directory: str, module: str, examples: list[str]) -> dict[str, Any]:
    """Calls serve_examples on all examples (base64) at once, as the Evaluator does, and parses them as the module says.

    Returns:
      `raw`: for each example name -> serialized TensorProto [1, ...] in base64, to ask serving_default with.
      `expected`: name -> serialized TensorProto [examples, ...] in base64; or `problem`, if the model fails.

    Raises:
      ConfigError: the module cannot be loaded.
      DataError: the examples are not what the module says.
    """
    records = [base64.b64decode(example) for example in examples]
    raw = _raw(records, module)
    import tensorflow as tf

    try:
        outputs = tf.saved_model.load(directory).signatures[EXAMPLES_SIGNATURE](examples=tf.constant(records))
        return {"raw": raw, "expected": _encoded(outputs)}
    except Exception as error:  # whatever a model's graph raises; its text may quote an example
        return {"raw": raw, "problem": f"{EXAMPLES_SIGNATURE} fails on the evaluation examples ({type(error).__name__})"}


def _raw(records: list[bytes], module: str) -> list[dict[str, str]]:
    import tensorflow as tf

    from errors import DataError
    from modeling import contract

    inputs = contract.load(module).inputs
    try:
        features = tf.io.parse_example(tf.constant(records), inputs)
    except (tf.errors.InvalidArgumentError, UnicodeDecodeError):  # their texts quote the example
        raise DataError(
            f"expected evaluation examples with the features of {module} ({', '.join(inputs)}), got others; compare FEATURES"
            " with the schema."
        ) from None
    return [_encoded({key: value[at : at + 1] for key, value in features.items()}) for at in range(len(records))]


def _encoded(tensors: Mapping[str, Any]) -> dict[str, str]:
    import tensorflow as tf

    return {
        name: base64.b64encode(tf.make_tensor_proto(tensor.numpy()).SerializeToString()).decode()
        for name, tensor in tensors.items()
    }


TASKS: dict[str, Callable[..., dict[str, Any]]] = {"inspect": inspect, "answer": answer}


if __name__ == "__main__":
    sys.exit(main())
