"""A report as one HTML page that loads nothing, and as GitHub-style Markdown: both from the same facts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components import charts
from components.deploy_gate import wording
from components.run_report import lineage_picture
from components.run_report.blocks import Code, Interval, Page, Section, Strong
from components.run_report.formats import when
from components.run_report.sections import measured, proof, trained, verdict

_SPECIAL = frozenset("`|<>")
_HTML, _MARKDOWN = "model_card.html", "model_card.md"


def page(facts: Mapping[str, Any], pictures: Mapping[str, str | None] | None = None) -> Page:
    """Returns what both pages show.

    Args:
      facts: as `facts.collect` gives them, or as facts.json holds them.
      pictures: SVG of the `split` and of the `clients` that may stand in a page, see `deploy_gate.picture.safe`.
    """
    drawn, about, model = pictures or {}, facts["about"], facts["model"]
    word, tone, sentence = verdict.status(facts)
    return Page(
        title=about.get("title") or f"Model card: {model.get('name', 'unknown')}",
        description=about.get("description") or "",
        status=word,
        tone=tone,
        sentence=sentence,
        facts=verdict.first_facts(facts),
        sections=[
            Section("use", "Use and limits", verdict.purpose(facts)),
            Section("metrics", "Metrics", measured.overall(facts)),
            Section("slices", "Slices", measured.slices(facts)),
            Section("clients", "Clients", measured.clients(facts, drawn.get("clients"))),
            Section("training", "Training", trained.training(facts)),
            Section("privacy", "Privacy", trained.privacy(facts)),
            Section("data", "Data", trained.data(facts)),
            Section("split", "Division among clients", trained.split(facts, drawn.get("split"))),
            Section("serving", "Serving", measured.serving(facts)),
            Section("decision", "Gate decision", verdict.decision(facts)),
            Section("lineage", "Lineage", proof.lineage(facts)),
            Section("digests", "Digests", proof.digests(facts)),
            Section("code", "Code", proof.code(facts)),
        ],
        made=when(facts["made_at"]),
        styles=(charts.chart_style(), lineage_picture.style()),
    )


def as_html(made: Page) -> str:
    """Returns one HTML page without scripts and external resources."""
    return _environment(autoescape=True).get_template(_HTML).render(page=made)


def as_markdown(made: Page) -> str:
    """Returns the same as Markdown, in which pictures are left out for their numbers, and the lineage is a diagram."""
    text = _environment(autoescape=False).get_template(_MARKDOWN).render(page=made, cell=_cell, md=wording.markdown)
    lines = [line.rstrip() for line in text.splitlines()]
    kept = [line for number, line in enumerate(lines) if line or (number and lines[number - 1])]
    return "\n".join(kept).strip() + "\n"


def _cell(text: str) -> str:
    if isinstance(text, Code) and not _SPECIAL.intersection(text):
        return f"`{wording.one_line(text)}`"
    plain = wording.markdown(str(text))
    return f"**{plain}**" if isinstance(text, Strong) and plain else plain


def _breakable(text: str) -> Any:
    """Long names of metrics may be broken where a word begins in them."""
    from markupsafe import Markup, escape

    return Markup("<wbr>").join(escape(part) for part in re.split(r"(?<=[a-z])(?=[A-Z])", str(text)))


def _environment(autoescape: bool) -> Any:
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=autoescape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["code"] = lambda text: isinstance(text, Code)
    environment.tests["interval"] = lambda text: isinstance(text, Interval)
    environment.tests["strong"] = lambda text: isinstance(text, Strong)
    environment.filters["breakable"] = _breakable
    environment.filters["picture"] = Markup  # only what our own charts drew, or `deploy_gate.picture.safe` let through
    return environment
