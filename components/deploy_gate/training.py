"""What the model says of the training it comes from: privacy, and who took part."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from components.deploy_gate import reading, wording
from components.deploy_gate.case import Case, Unknown
from components.deploy_gate.observed import SINGLE, Observed, settled, within
from components.deploy_gate.requirements import Requirement
from errors import FedtfxError

_SEEDED = "; its noise is seeded: epsilon holds for nobody who knows the seed"
_MOST_TEXT = 150
_PROPERTIES = {
    "clients-per-round": "least_clients",
    "rounds": "rounds",
    "excluded-updates": "excluded_updates",
    "weight-share": "largest_weight_share",
}


def participation(requirement: Requirement, case: Case) -> Observed:
    """Holds one of the training's facts, in single precision as recorded, against its limit."""
    limit, found = requirement.limit, _fact(case, _PROPERTIES[requirement.id.partition("/")[2]])
    found = settled(found, limit, SINGLE * abs(found))
    return Observed(within(found, limit), wording.number(found, limit.get("min"), limit.get("max")))


def privacy(requirement: Requirement, case: Case) -> Observed:
    """Holds epsilon or delta against its limit. Epsilon is what all trainings on these clients cost, later ones included.

    Noise that whoever knows the seed can subtract again protects from nobody who does, whatever its epsilon.
    """
    delta = _fact(case, "delta")
    if not 0 < delta < 1:
        raise Unknown(f"delta is {delta:g}: it says nothing")
    most = requirement.limit["max"]
    if requirement.id == "privacy/delta":
        return Observed(delta <= most, wording.number(delta, most))
    figures = [_fact(case, "epsilon_total"), _fact(case, "epsilon"), _ledger_total(case, delta)]
    if min(figures) < 0 or not all(map(math.isfinite, figures)):
        raise Unknown("epsilon is negative or not a finite number: it says nothing")
    epsilon = max(figures)
    unit = case.model.get_string_custom_property("privacy_unit") or f"delta={delta:g}"
    seeded = case.model.get_string_custom_property("noise") == "seeded"
    text = f"{wording.number(epsilon, most)} ({wording.one_line(unit, _MOST_TEXT)}){_SEEDED if seeded else ''}"
    return Observed(epsilon <= most and not seeded, text)


def _fact(case: Case, name: str) -> float:
    if not case.model.has_custom_property(name):
        raise Unknown(f"not known: {case.model_node} recorded no {name} with the model")
    return reading.finite(_value(case.model, name), name)


def _value(model: Any, name: str) -> float:
    """A whole number or not: TFX's getters each know one of the two, and have 0 for the other."""
    return model.get_int_custom_property(name) or model.get_float_custom_property(name)


def _ledger_total(case: Case, delta: float) -> float:
    """Epsilon of the ledger that this training was entered in; 0 where no ledgers are kept."""
    from components.federated_trainer.privacy.ledger import Ledger

    if not case.state_dir:
        return 0.0
    entered = case.model.get_string_custom_property("privacy_ledger_digest")
    path = next((path for path in sorted(Path(case.state_dir, "privacy").glob("*.jsonl")) if _holds(path, entered)), None)
    if path is None:
        raise Unknown("not known: the privacy ledger that this training was entered in is not there")
    try:
        return Ledger(str(path)).total(delta).epsilon
    except FedtfxError as error:
        raise Unknown(f"not known: {wording.one_line(error)}") from error


def _holds(path: Path, line_digest: str) -> bool:
    """Whether a ledger has the line that this training ended with; later lines are of later trainings."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return bool(line_digest) and any(json.loads(line).get("digest") == line_digest for line in lines if line_digest in line)
    except (OSError, ValueError, AttributeError):
        return False
