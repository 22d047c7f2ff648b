"""Values as a page shows them."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

NONE = "-"


def number(value: float | None, signed: bool = False) -> str:
    """Returns four significant digits; a whole number up to 15 digits is whole, with separators."""
    if value is None:
        return NONE
    if value == int(value) and abs(value) < 1e15 and not signed:
        return f"{int(value):,}"
    return f"{value:{'+' if signed else ''}.4g}"


def metric(value: float | None, signed: bool = False) -> str:
    """Returns four decimals where that is enough to see the value, else four significant digits."""
    if value is None:
        return NONE
    text = f"{value:{'+' if signed else ''}.4f}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.4g}"
    return text.replace("-", "\u2212") if signed else text


def size(count: float | None) -> str:
    """Returns bytes as people read them."""
    if count is None:
        return NONE
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.3g} {unit}" if unit != "bytes" else f"{count:,.0f} bytes"
        count /= 1000
    return NONE


def seconds(span: float | None) -> str:
    """Returns a time span."""
    if span is None:
        return NONE
    if span < 60:
        return f"{span:.1f} s"
    minutes, rest = divmod(round(span), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"


def when(moment: str | None) -> str:
    """Returns an ISO 8601 time, in UTC."""
    if not moment:
        return NONE
    return datetime.fromisoformat(moment).astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def plain(value: Any) -> str:
    """Returns any setting: yes and no for a bool, numbers as numbers, text as it is."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value) if not isinstance(value, float) or value != int(value) else f"{value:g}"
    return NONE if value is None else str(value)
