"""Warm-up: the requests in a version's assets.extra, answered once before the version becomes available."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from serving.server import tensor_proto
from serving.server.servable import Servable
from serving.server.signature import DEFAULT_SIGNATURE
from serving.server.status import ApiError

WARMUP_FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")
_MAX_RECORDS = 1000

_log = logging.getLogger(__name__)


def warm_up(servable: Servable, path: Path) -> int:
    """Answers the predict requests of `path`'s warm-up file, if there is one, and returns how many there were.

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
    try:
        for number, record in enumerate(tf.data.TFRecordDataset(str(file)).as_numpy_iterator()):
            if number >= _MAX_RECORDS:
                raise ApiError("INVALID_ARGUMENT", f"more than {_MAX_RECORDS} warm-up requests")
            count += _replay(servable, prediction_log_pb2.PredictionLog.FromString(record), number)
    except (tf.errors.OpError, DecodeError) as error:
        raise ApiError("DATA_LOSS", f"cannot read the warm-up requests: {error}") from None
    return count


def _replay(servable: Servable, log: Any, number: int) -> int:
    kind = log.WhichOneof("log_type")
    if kind != "predict_log":
        _log.info("warm-up request %d left out: %s is not answered here", number, kind or "an empty record")
        return 0
    request = log.predict_log.request
    try:
        signature = servable.signature(request.model_spec.signature_name or DEFAULT_SIGNATURE)
        servable.predict(signature, tensor_proto.inputs(request.inputs, signature))
    except ApiError as error:
        raise ApiError(error.code, f"warm-up request {number} failed: {error.message}") from None
    return 1
