"""The result of a run as GitHub-style Markdown, for the summary of a CI job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from components.deploy_gate import wording
from pipeline.metrics import Metrics
from pipeline.summary import Summary


def as_markdown(name: str, summary: Summary) -> str:
    """Returns the headline, the metrics side by side and the gate's table of checks.

    Args:
      name: the pipeline's.
      summary: of a run that is over, or that was refused before it began.
    """
    parts = [f"## {wording.markdown(name)}: {_headline(summary)}", *_metrics(summary.metrics), _checks(summary)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _headline(summary: Summary) -> str:
    if summary.pushed and not summary.pushed["live"]:
        return f"version {summary.pushed['version']} is pushed, but held at {summary.pushed['held_at'] or 'another version'}"
    if summary.pushed:
        return f"version {summary.pushed['version']} is {'live' if summary.pushed['new'] else 'live already'}"
    return "not decided" if summary.decision.folder is None else "refused, what is served is untouched"


def _metrics(metrics: Mapping[str, Metrics | None]) -> Iterator[str]:
    models = {model: values for model, values in metrics.items() if values}
    names = list(dict.fromkeys(name for values in models.values() for name in values))
    if not names:
        return
    head = [_row(["metric", *models]), "|---" + "|---:" * len(models) + "|"]
    rows = [_row([name, *(_cell(values, name) for values in models.values())]) for name in names]
    yield "\n".join([*head, *rows])


def _cell(values: Metrics, name: str) -> str:
    if name not in values:
        return "-"
    return f"{values[name]:.0f}" if name == "example_count" else f"{values[name]:.4f}"


def _checks(summary: Summary) -> str:
    """What the gate wrote; where it wrote nothing, why."""
    if summary.decision.folder is None:
        return "\n".join(f"- {wording.markdown(reason)}" for reason in summary.decision.reasons)
    decided = Path(summary.decision.folder, "decision.md").read_text(encoding="utf-8").strip()
    if summary.decision.blessed and not summary.pushed:  # the Pusher, which looks at what is served once more, did not obey
        return "\n".join([*(f"- {wording.markdown(reason)}" for reason in summary.decision.reasons), "", decided])
    return decided


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(map(wording.markdown, cells))} |"
