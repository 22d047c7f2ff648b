"""Answers as a table for people or as JSON lines for programs."""

from __future__ import annotations

import base64
import json
import math
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np

from serving.client.answers import Answer, Arrays
from serving.client.labels import Ranked

_BAR = 24
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_SHOWN_VALUES = 8


def as_json(source: str, answer: Answer, ranked: Sequence[Sequence[Ranked]], milliseconds: float) -> str:
    """One line: where the input was from, who answered, the classes of its row (or of each row) and all outputs."""
    classes = [[vars(one) for one in row] for row in ranked]
    outputs = {name: to_json(array) for name, array in answer.outputs.items()}
    content = {
        "input": source,
        "model": answer.model_name,
        "version": answer.version,
        "signature": answer.signature,
        "predictions": classes[0] if len(classes) == 1 else classes,
        "outputs": outputs,
        "milliseconds": round(milliseconds, 1),
    }
    return json.dumps(content, ensure_ascii=False)


def error_as_json(source: str, error: str) -> str:
    """One line for an input that was not answered."""
    return json.dumps({"input": source, "error": error}, ensure_ascii=False)


def as_table(source: str, answer: Answer, ranked: Sequence[Sequence[Ranked]], milliseconds: float, *, plain: bool) -> str:
    """A heading and, for each row, its classes with bars; the outputs as they are where they tell no classes."""
    lines = [f"{printable(source)}  ({answer.model_name} version {answer.version}, {milliseconds:.1f} ms)"]
    for row in ranked:
        width = max((len(printable(one.label)) for one in row), default=0)
        lines += [f"  {printable(one.label):<{width}}  {_score(one.score, plain)}".rstrip() for one in row]
    if not any(ranked):
        lines += _values(answer.outputs)
    return "\n".join(lines)


def to_json(array: np.ndarray) -> Any:
    """Nested lists that are strict JSON: NaN and infinities as null, bytes that are no text as `{"b64": ".."}`."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(one) for one in value]
        if isinstance(value, bytes):
            return _text_or_b64(value)
        return None if isinstance(value, float) and not math.isfinite(value) else value

    if array.dtype == np.float32:  # the shortest text that gives the same float32 back, as 0.1 and not 0.10000000149011612
        array = np.array([float(str(value)) for value in array.reshape(-1)]).reshape(array.shape)
    return plain(array.tolist())


def printable(text: str) -> str:
    """Text without what could move a terminal's cursor or colour it."""
    return "".join("?" if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") else letter for letter in text)


def _text_or_b64(value: bytes) -> Any:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode("ascii")}


def _score(score: float | None, plain: bool) -> str:
    if score is None:
        return ""
    bar = _bar(score, plain) if 0 <= score <= 1 else ""
    return f"{score:.3f}  {bar}"


def _bar(score: float, plain: bool) -> str:
    if plain:
        return "#" * round(score * _BAR)
    full, part = divmod(round(score * _BAR * 8), 8)
    return _EIGHTHS[8] * full + (_EIGHTHS[part] if part else "")


def _values(outputs: Arrays) -> list[str]:
    lines = []
    for name, array in outputs.items():
        flat = np.array(array.reshape(-1)[:_SHOWN_VALUES])
        values = ", ".join(printable(item) if isinstance(item, str) else json.dumps(item) for item in to_json(flat))
        more = f", ... ({array.size} values)" if array.size > _SHOWN_VALUES else ""
        lines.append(f"  {name}: {values}{more}")
    return lines
