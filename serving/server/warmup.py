"""Warm-up: the requests in a version's assets.extra, answered before the version becomes available."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from serving.server import classify_regress, multi_inference, tensor_proto
from serving.server.servable import Servable
from serving.server.signature import DEFAULT_SIGNATURE
from serving.server.status import ApiError

WARMUP_FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")
_MAX_RECORDS = 1000
_HEADER_BYTES, _FOOTER_BYTES = 12, 4  # of a TFRecord


def warm_up(servable: Servable, path: Path, iterations: int = 1) -> int:
    """Answers each request of `path`'s warm-up file `iterations` times, and returns how many there are; 0 without the file.

    Raises:
      ApiError: the file cannot be read or has too many records, or a request fails; such a version must not go live.
    """
    file = path / WARMUP_FILE
    if not file.is_file():
        return 0
    import tensorflow as tf
    from google.protobuf.message import DecodeError
    from tensorflow_serving.apis import prediction_log_pb2

    count = 0
    _check_whole(file)
    try:
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            if count >= _MAX_RECORDS:
                raise ApiError("INVALID_ARGUMENT", f"more than {_MAX_RECORDS} warm-up requests")
            _replay(servable, prediction_log_pb2.PredictionLog.FromString(record), count, iterations)
            count += 1
    except (tf.errors.OpError, DecodeError) as error:
        told = str(error).replace(str(path), "the version's directory")
        raise ApiError("DATA_LOSS", f"cannot read the warm-up requests: {told}") from None
    return count


def _check_whole(file: Path) -> None:
    """Refuses a file that ends within a record, which TensorFlow's reader may take for its end.

    A record is 8 bytes of length, 4 of checksum, the data and 4 of checksum.
    https://github.com/tensorflow/tensorflow/blob/v2.15.1/tensorflow/core/lib/io/record_writer.h
    """
    size, place = file.stat().st_size, 0
    with file.open("rb") as content:
        for _ in range(_MAX_RECORDS + 1):
            if place >= size:
                break
            content.seek(place)
            place += _HEADER_BYTES + int.from_bytes(content.read(_HEADER_BYTES)[:8], "little") + _FOOTER_BYTES
    if place > size:
        raise ApiError("DATA_LOSS", f"cannot read the warm-up requests: the file ends after {size} bytes, within a record")


def _replay(servable: Servable, log: Any, number: int, iterations: int) -> None:
    kind = log.WhichOneof("log_type")
    try:
        if kind not in _ANSWERS:
            raise ApiError("UNIMPLEMENTED", f"Unsupported log_type for warmup: {kind or 'an empty record'}")
        for _ in range(iterations):
            _ANSWERS[kind](servable, getattr(log, kind).request)
    except ApiError as error:
        raise ApiError(error.code, f"warm-up request {number} failed: {error.message}") from None


def _predict(servable: Servable, request: Any) -> None:
    signature = servable.signature(request.model_spec.signature_name or DEFAULT_SIGNATURE)
    servable.predict(signature, tensor_proto.inputs(request.inputs, signature), request.output_filter)


def _typed(method: str) -> Callable[[Servable, Any], None]:
    def answer(servable: Servable, request: Any) -> None:
        signature = servable.signature(request.model_spec.signature_name or DEFAULT_SIGNATURE)
        classify_regress.check(method, signature)
        examples = classify_regress.examples(request.input)
        outputs = servable.predict(signature, {classify_regress.INPUTS: examples})
        classify_regress.result(method, outputs, len(examples))

    return answer


def _multi_inference(servable: Servable, request: Any) -> None:
    tasks = multi_inference.tasks(request, servable)
    examples = classify_regress.examples(request.input)
    answers = [servable.predict(task.signature, {classify_regress.INPUTS: examples}) for task in tasks]
    multi_inference.reply("", servable.version, tasks, answers, len(examples))


_ANSWERS: dict[str, Callable[[Servable, Any], None]] = {
    "predict_log": _predict,
    "classify_log": _typed(classify_regress.CLASSIFY),
    "regress_log": _typed(classify_regress.REGRESS),
    "multi_inference_log": _multi_inference,
}
