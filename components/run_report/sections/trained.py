"""How the model was trained, on what data, divided how, and what is promised of its clients' privacy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components import charts
from components.run_report.blocks import Block, Code, Facts, Figures, Missing, Strong, Table, Text
from components.run_report.curves import HELD_OUT, TRAIN
from components.run_report.formats import metric, number, plain, seconds, size
from components.run_report.sections.verdict import missing

_CURVES = {TRAIN: ("training", "candidate"), HELD_OUT: ("held out", "heldout")}
_MOST_POINTS, _MOST_ROWS, _MOST_CHARTS = 400, 25, 6
_SETTINGS = {
    "clients_per_round": "Clients per round",
    "local_epochs": "Local epochs",
    "epochs": "Epochs",
    "batch_size": "Batch size",
    "client_learning_rate": "Client learning rate",
    "server_learning_rate": "Server learning rate",
    "learning_rate": "Learning rate",
    "executor": "Executor",
}


def training(facts: Mapping[str, Any]) -> Sequence[Block]:
    """Facts, curves, and every setting that was used."""
    found = facts["training"]
    if absent := missing(found):
        return absent
    settings = found["settings"]
    named = [(name, plain(settings[key])) for key, name in _SETTINGS.items() if key in settings]
    told = [*_federated(found), *named, ("Seed", plain(found["seed"])), ("Took", seconds(found["seconds"]))]
    every = [[Code(key), plain(value)] for key, value in sorted(settings.items())]
    table = [Table("Every setting that was used", ("Setting", "Value"), every, folded=True)] if every else []
    unread = [] if settings else [Missing("the settings: ML Metadata does not tell them")]
    return [Facts(told), *_curves(facts), *table, *unread]


def _federated(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    if not found["federated"]:
        return [("How", "centralised, on pooled examples"), ("Code", str(found["module"]))]
    exported = {"average": "moving average of the weights", "last": "those of the last round"}.get(
        found.get("exported", ""), ""
    )
    at = f"round {number(found.get('exported_round'))}"
    return [
        ("Algorithm", str(found.get("algorithm"))),
        ("Rounds", number(found.get("rounds"))),
        ("Exported weights", f"{exported or found.get('exported')}, {at}"),
        ("Clients", number(found.get("clients"))),
        ("Fewest clients in a round", number(found.get("least_clients"))),
        ("Largest share of one client in a round", number(found.get("largest_weight_share"))),
        ("Updates excluded as not finite", number(found.get("excluded_updates"))),
        ("Digest of who was drawn", Code(found.get("sampling_digest", "-"))),
    ]


def _curves(facts: Mapping[str, Any]) -> list[Block]:
    found = facts["curves"]
    if absent := missing(found):
        return [Missing(f"curves: {found['not_available']}")] if absent else []
    unit = found["unit"]
    pictures = [
        _chart(place, name, sides, f"{unit}s")
        for place, (name, sides) in enumerate(list(found["metrics"].items())[:_MOST_CHARTS])
    ]
    if found["epsilon"]:
        line = charts.Line("epsilon so far", "candidate", _sampled(found["epsilon"]))
        pictures.append(charts.curves("epsilon", "epsilon (Renyi)", _told("epsilon", found["epsilon"]), [line], f"{unit}s"))
    return [Figures(pictures), _points(found)]


def _chart(place: int, name: str, sides: Mapping[str, Any], unit: str) -> str:
    lines = [charts.Line(_CURVES[side][0], _CURVES[side][1], _sampled(points)) for side, points in sides.items()]
    told = " ".join(_told(f"{name}, {_CURVES[side][0]},", points) for side, points in sides.items())
    return charts.curves(f"curve-{place}", name, told, lines, unit)


def _told(what: str, points: Sequence[Sequence[float]]) -> str:
    (first, start), (last, end) = points[0], points[-1]
    return f"{what} goes from {metric(start)} at {number(first)} to {metric(end)} at {number(last)}."


def _sampled(points: Sequence[Any], most: int = _MOST_POINTS) -> list[Any]:
    """All points if they are few, else evenly spaced ones, among them the first and the last."""
    if len(points) <= most:
        return list(points)
    return [points[round(number * (len(points) - 1) / (most - 1))] for number in range(most)]


def _points(found: Mapping[str, Any]) -> Table:
    columns = [
        (name, side, dict(map(tuple, points))) for name, sides in found["metrics"].items() for side, points in sides.items()
    ]
    steps = sorted({step for _, _, points in columns for step in points})
    rows = [[number(step), *(metric(points.get(step)) for _, _, points in columns)] for step in _sampled(steps, _MOST_ROWS)]
    heads = [found["unit"].capitalize(), *(f"{name}, {_CURVES[side][0]}" for name, side, _ in columns)]
    some = f"{_MOST_ROWS} of {len(steps)} {found['unit']}s" if len(steps) > _MOST_ROWS else f"Every {found['unit']}"
    return Table(f"{some} in numbers", heads, rows, folded=True)


def privacy(facts: Mapping[str, Any]) -> Sequence[Block]:
    """Epsilon and what it does not cover; plainly that there is none."""
    found = facts["privacy"]
    if absent := missing(found):
        return absent
    if not found["private"]:
        return [Text(found["said"], "wait")]
    told = [
        ("Epsilon of this training", number(found["epsilon"])),
        ("Epsilon of all trainings on these clients so far", number(found.get("epsilon_total"))),
        ("Delta", number(found.get("delta"))),
        ("Unit", str(found.get("privacy_unit", "-"))),
        ("Noise multiplier", number(found.get("noise_multiplier"))),
        ("Noise", str(found.get("noise", "-"))),
    ]
    seeded = [Text(found["seeded"], "bad")] if found["seeded"] else []
    return [*seeded, Facts(told), Text(found["not_covered"], "wait")]


def data(facts: Mapping[str, Any]) -> Sequence[Block]:
    """Source, counts and features."""
    found = facts["data"]
    if absent := missing(found):
        return absent
    counts = [(f"Examples, {name}", number(count)) for name, count in found["splits"].items()]
    told = [("Source", found["source"]), *counts, ("Seed of the split", plain(found["seed"]))]
    told.append(("Fingerprint of the source", Code(found["fingerprint"] or "not recorded")))
    return [Facts(told), *_features(found["features"])]


def _features(features: Any) -> list[Block]:
    if isinstance(features, str):
        return [Missing(f"features: {features}")]
    rows = [
        [Strong(of["name"]), of["type"], of["shape"], "yes" if of["required"] else "no", of["values"] or "any"]
        for of in features
    ]
    return [Table("Features", ("Feature", "Type", "Shape", "In every example", "Values"), rows)]


def split(facts: Mapping[str, Any], picture: str | None) -> Sequence[Block]:
    """Strategy, sizes, how much labels differ; a picture."""
    found = facts["split"]
    if absent := missing(found):
        return absent
    sizes, kept, differs = found["sizes"], found["evaluation"], found["heterogeneity"].get("label_divergence")
    told = [
        ("Strategy", found["strategy"]),
        ("Clients", number(found["clients"])),
        ("Training examples", number(found["examples"])),
        ("Examples of a client", f"{number(sizes['min'])} to {number(sizes['max'])}, median {number(sizes['median'])}"),
        ("Dropped", f"{number(found['dropped'])} examples"),
        (
            "Label divergence",
            f"{differs:.3f} (0: every client is like the whole; 1: no label in common)" if differs is not None else "no labels",
        ),
        ("Held out", f"{number(kept['examples'])} examples of {number(kept['clients'])} clients" if kept else "nothing"),
        ("Clients never trained on", number(found["held_out_clients"])),
        ("Seed", plain(found["seed"])),
    ]
    rows = [
        [Code(name), size(value) if name.endswith("_bytes") else plain(value)] for name, value in found["parameters"].items()
    ]
    drawn: Block = Figures([picture], wide=True) if picture else Missing("the picture of the split")
    return [Facts(told), drawn, Table("Parameters of the split", ("Parameter", "Value"), rows, folded=True)]
