"""Metrics overall, beside other models, on slices and over clients; and what serving takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components import charts
from components.answers import BASELINE, CANDIDATE, SERVED
from components.run_report.blocks import Block, Facts, Figures, Interval, Missing, Strong, Table, Text
from components.run_report.formats import metric, number, seconds, size
from components.run_report.sections.verdict import missing

NAMES = {CANDIDATE: "this model", BASELINE: "centralised baseline", SERVED: "served model"}
_MOST_CHARTS = 6
_QUANTILES = {"0": "Lowest", "0.5": "Median", "1": "Highest"}


def overall(facts: Mapping[str, Any]) -> Sequence[Block]:
    """A table, a chart per metric with intervals, and the differences from the other models."""
    found = facts["metrics"]
    if absent := missing(found):
        return absent
    percent = f"{100 * found['confidence']:g} %"
    models = found["models"]
    blocks: list[Block] = [
        Text(f"On {number(found['examples'])} evaluation examples. In brackets the {percent} interval, where it is known.")
    ]
    if found["not_analysed"]:
        blocks.append(Missing(f"metrics beyond those of the single examples: {found['not_analysed']}"))
    heads = ["Metric", "Better", *(NAMES[model] for model in models), "best constant"]
    blocks.append(Table("Metrics on all evaluation examples", heads, [_row(row, models) for row in found["rows"]]))
    pictures = [_chart(number, row, models, percent) for number, row in enumerate(found["rows"][:_MOST_CHARTS]) if _drawn(row)]
    blocks.append(Figures(pictures, f"Dots: values. Bars: {percent} intervals, where they are known."))
    return [*blocks, *_comparisons(found, percent)]


def _row(row: Mapping[str, Any], models: Sequence[str]) -> list[str]:
    better = {True: "higher", False: "lower"}.get(row["higher_is_better"], "")
    cells = [_cell(row["models"].get(model)) for model in models]
    return [Strong(row["metric"]), better, *cells, metric(row["constant"])]


def _cell(value: Mapping[str, Any] | None) -> str:
    if value is None:
        return "-"
    known = value["low"] is not None and value["high"] is not None
    return (
        Interval(f"{metric(value['value'])} [{metric(value['low'])}, {metric(value['high'])}]")
        if known
        else metric(value["value"])
    )


def _drawn(row: Mapping[str, Any]) -> bool:
    return any(value["value"] is not None for value in row["models"].values())


def _chart(place: int, row: Mapping[str, Any], models: Sequence[str], percent: str) -> str:
    values = [(model, row["models"][model]) for model in models if row["models"].get(model, {}).get("value") is not None]
    told = "; ".join(f"{NAMES[model]} {_cell(value)}" for model, value in values)
    rows = [
        charts.Row(NAMES[model], model, value["value"], metric(value["value"]), value["low"], value["high"])
        for model, value in values
    ]
    return charts.intervals(f"metric-{place}", row["metric"], f"With {percent} intervals: {told}.", rows)


def _comparisons(found: Mapping[str, Any], percent: str) -> list[Block]:
    absent = [name for model, name in NAMES.items() if model != CANDIDATE and model not in found["models"]]
    notes: list[Block] = [Missing(f"comparison with the {name}, as there is none in this run") for name in absent]
    if not found["comparisons"]:
        return notes or [Missing("comparison on the same examples: no scores of single examples were recorded")]
    rows = [
        [Strong(row["metric"]), NAMES[row["with"]], metric(row["difference"], signed=True), _span(row), row["verdict"]]
        for row in found["comparisons"]
    ]
    heads = ("Metric", "Against", "Difference", f"{percent} interval", "This model is")
    return [Table("Comparison on the same examples", heads, rows), *notes]


def _span(row: Mapping[str, Any]) -> str:
    return f"{metric(row['low'], signed=True)} to {metric(row['high'], signed=True)}"


def slices(facts: Mapping[str, Any]) -> Sequence[Block]:
    """A chart of the slices, the worst first, and the same as a table."""
    found = facts["slices"]
    if absent := missing(found):
        return absent
    rows = [_slice_row(row) for row in found["rows"]]
    worst = found["rows"][0]
    told = f"{len(rows)} slices, the worst {worst['slice']} with {metric(worst['models'][CANDIDATE])}."
    models = [model for model in (CANDIDATE, SERVED) if any(model in row["models"] for row in found["rows"])]
    cells = [
        [row["slice"], number(row["examples"]), *(metric(row["models"].get(model)) for model in models)]
        for row in found["rows"]
    ]
    ring = "Dots: this model, the worst slice first. Rings: the served model." if SERVED in models else "The worst slice first."
    more = [Text(f"{found['left_out']} further slices are in the Evaluator's files.")] if found["left_out"] else []
    return [
        Figures([charts.intervals("slices", f"{found['metric']} by slice", told, rows)], ring),
        Table(f"{found['metric']} on slices", ("Slice", "Examples", *(NAMES[model] for model in models)), cells, folded=True),
        *more,
    ]


def _slice_row(row: Mapping[str, Any]) -> charts.Row:
    value, served = row["models"][CANDIDATE], row["models"].get(SERVED)
    examples, beside = f"{number(row['examples'])} examples", (SERVED, served) if served is not None else None
    return charts.Row(row["slice"], CANDIDATE, value, metric(value), note=examples, beside=beside)


def clients(facts: Mapping[str, Any], picture: str | None) -> Sequence[Block]:
    """The distribution over clients, of which none is told apart."""
    found = facts["clients"]
    if absent := missing(found):
        return absent
    rows = [
        [
            Strong(name) if model == CANDIDATE else name,
            NAMES.get(model, model),
            metric(of.get("mean")),
            metric(of.get("worst_decile")),
            *(metric(of.get("quantiles", {}).get(key)) for key in _QUANTILES),
        ]
        for name, models in found["metrics"].items()
        for model, of in models.items()
    ]
    said = f"{number(found['clients'])} clients with {number(found['examples'])} examples that were not trained on."
    drawn = [Figures([picture], wide=True)] if picture else [Missing("the picture of the clients")]
    heads = ("Metric", "Model", "Mean", "Worst tenth", *_QUANTILES.values())
    return [Text(said), *drawn, Table("Over clients, each counted once", heads, rows)]


def serving(facts: Mapping[str, Any]) -> Sequence[Block]:
    """What ServingCheck measured in a model server of its own."""
    found = facts["serving"]
    if absent := missing(found):
        return absent
    latency, differs = found["latency_ms"] or {}, found["max_difference"] or {}
    told = [
        ("May be loaded", "yes" if found["loadable"] else "no"),
        ("Size", size(found["size_bytes"])),
        ("Weights", number(found["weights"])),
        ("Memory of the server", size(found["memory_bytes"])),
        ("Time to load", seconds(found["load_seconds"])),
        *((f"Latency, {way.upper() if way == 'rest' else 'gRPC'}", _latency(of)) for way, of in sorted(latency.items()) if of),
        (
            "Largest difference from evaluation",
            number(max((value for value in differs.values() if value is not None), default=None)),
        ),
    ]
    problem = [Text(found["problem"], "bad")] if found["problem"] else []
    return [*problem, Facts(told)]


def _latency(of: Mapping[str, Any]) -> str:
    return f"{number(of.get('p50'))} ms median, {number(of.get('p99'))} ms p99"
