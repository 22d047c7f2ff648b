"""The picture of the clients, made fit to stand inside the page: well-formed SVG that loads and runs nothing."""

from __future__ import annotations

import logging
import re
import xml.etree.ElementTree as ET
from pathlib import Path

logger = logging.getLogger(__name__)

_NAMESPACE = "http://www.w3.org/2000/svg"
_ELEMENTS = {
    "svg",
    "g",
    "title",
    "desc",
    "style",
    "defs",
    "rect",
    "line",
    "path",
    "polyline",
    "polygon",
    "circle",
    "text",
    "tspan",
}
_LOADS = re.compile(r"url\s*\(|@import|expression|javascript:|\\", re.IGNORECASE)
_LARGEST = 1 << 20


def safe(path: Path) -> str | None:
    """Returns a picture's text; None if there is none, or if it could load or run anything."""
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError("it is too large")
        text = path.read_text(encoding="utf-8")
        if "<!" in text.replace("<!--", ""):
            raise ValueError("it declares a document type, or more")
        root = ET.fromstring(text)
        for element in root.iter():
            _check(element)
    except (OSError, ValueError, ET.ParseError) as error:
        logger.warning("%s is left out of the page: %s", path, error)
        return None
    ET.register_namespace("", _NAMESPACE)
    return ET.tostring(root, encoding="unicode")


def _check(element: ET.Element) -> None:
    name = element.tag.removeprefix(f"{{{_NAMESPACE}}}") if isinstance(element.tag, str) else "a comment or an instruction"
    if name not in _ELEMENTS:
        raise ValueError(f"{name} is not allowed in it")
    for attribute, value in element.attrib.items():
        if attribute.lower().startswith("on") or "href" in attribute.lower() or _LOADS.search(value):
            raise ValueError(f"{attribute} of {name} is not allowed in it")
    if name == "style" and _LOADS.search(element.text or ""):
        raise ValueError("its style sheet loads something")
