"""What became of the model, in a word and in a sentence; the gate's decision; what the config says the model is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.run_report.blocks import Block, Facts, Items, Missing, Table, Text
from components.run_report.decision import SAID
from components.run_report.formats import metric, number, when

NOT_AVAILABLE = "not_available"
_JUDGED = 3
_TONES = {"failed": "bad", "passed": "good", "skipped": ""}


def missing(section: Mapping[str, Any]) -> list[Block]:
    """Returns a block that says why a section is not there; nothing if it is."""
    return [Missing(str(section[NOT_AVAILABLE]))] if NOT_AVAILABLE in section else []


def status(facts: Mapping[str, Any]) -> tuple[str, str, str]:
    """Returns a word, its tone and a sentence: what was decided about the model, and whether it is served."""
    model, decision = facts["model"], facts["decision"]
    if NOT_AVAILABLE in model:
        return "Unknown", "wait", f"Which model this is, is not available: {model[NOT_AVAILABLE]}."
    override = decision.get("override")
    if model["pushed"]:
        return _pushed(model, override)
    if NOT_AVAILABLE in decision:
        return "Not pushed", "wait", f"The gate's decision is not available: {decision[NOT_AVAILABLE]}."
    if decision["blessed"]:
        return (
            "Not pushed",
            "wait",
            f"The gate let it pass, but it was not pushed: {model['not_pushed_because'] or 'no push is recorded'}.",
        )
    if override:
        return "Held back", "wait", f"Held back by {override['by']}: {override['reason']}"
    failed = decision["counts"]["failed"]
    return "Refused", "bad", f"The gate refused it: {failed} {'check' if failed == 1 else 'checks'} failed. It was not pushed."


def _pushed(model: Mapping[str, Any], override: Mapping[str, Any] | None) -> tuple[str, str, str]:
    how = f"forced by {override['by']} ({override['reason']})" if override else "every check that counts passed"
    if not model["live"]:
        at = f" at version {model['held_at']}" if model["held_at"] else ""
        return "Pushed, held", "wait", f"Pushed as version {model['version']}; what is served is held{at}. {how.capitalize()}."
    word = "Forced live" if override else "Pushed live"
    return word, "wait" if override else "good", f"Served as version {model['version']} when this page was made: {how}."


def first_facts(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns what is looked for first."""
    model, metrics, privacy, training = (facts[name] for name in ("model", "metrics", "privacy", "training"))
    found = []
    if NOT_AVAILABLE not in metrics:
        row = metrics["rows"][0]
        if value := row["models"].get("candidate"):
            found.append((row["metric"], metric(value["value"])))
    if NOT_AVAILABLE not in training:
        found.append(("Trained", _trained(training)))
    if NOT_AVAILABLE not in privacy:
        epsilon = f"epsilon {number(privacy['epsilon'])}" if privacy["private"] else "no differential privacy"
        found.append(("Privacy", epsilon))
    if NOT_AVAILABLE not in model:
        found += [
            ("Version", model["version"] or "none"),
            ("Model", f"{model['id']}, sha256 {model['digest'][:12] or 'not recorded'}"),
        ]
    return found


def _trained(training: Mapping[str, Any]) -> str:
    if not training["federated"]:
        return "centralised, on pooled examples"
    rounds, clients = training.get("rounds"), training.get("clients")
    return f"{training.get('algorithm')}, {number(rounds)} rounds, {number(clients)} clients"


def purpose(facts: Mapping[str, Any]) -> Sequence[Block]:
    """Intended use and its limits, in the config's words."""
    about = facts["about"]
    if found := missing(about):
        return found
    return [Items(title, about[key]) for key, title in SAID.items() if about[key]] or [Text("The config says nothing of it.")]


def decision(facts: Mapping[str, Any]) -> Sequence[Block]:
    """What later runs decided about the same model, overrides, and every check."""
    found = facts["decision"]
    again = facts["model"].get("judged_again", ())
    blocks: list[Block] = [Text(_judged_again(again), "wait")] if again else []
    if absent := missing(found):
        return [*blocks, *absent]
    blocks += [Text(line, "wait") for line in map(_approval, found["approvals"])]
    counts = ", ".join(f"{count} {verdict}" for verdict, count in found["counts"].items() if count)
    served = found["served"]
    beside = f"version {served['version']}{', this very model' if served['same_as_model'] else ''}" if served else "nothing"
    blocks.append(
        Facts([("Decided", when(found["decided_at"])), ("Checks", counts), ("Served while this was decided", beside)])
    )
    told = [check for check in found["checks"] if check["forceable"] or check["verdict"] != "passed"]
    held = [check for check in found["checks"] if check not in told]
    blocks.append(_checks("What was checked", told))
    return [*blocks, _checks(f"{len(held)} safeguards that held", held, folded=True)] if held else blocks


def _judged_again(again: Sequence[Mapping[str, Any]]) -> str:
    """The newest of them, and how many more."""
    told = []
    for one in again[: -_JUDGED - 1 : -1]:
        failed = f", failed {', '.join(one['failed_checks'])}" if one["failed_checks"] else ""
        told.append(f"{one['decision']} by run {one['run']}, {when(one['created'])}{failed}")
    more = [f"{len(again) - _JUDGED} more"] if len(again) > _JUDGED else []
    return f"Judged again: {'; '.join([*told, *more])}. Below is what the run of this card decided."


def _approval(approval: Mapping[str, Any]) -> str:
    what = (
        {"force": "Forced", "hold": "Held"}[approval["action"]] if approval["applied"] else f"Not applied: {approval['action']}"
    )
    note = f" ({approval['note']})" if approval.get("note") else ""
    return f"{what} by {approval['by']} until {when(approval['expires'])}: {approval['reason']}{note}"


def _checks(caption: str, checks: Sequence[Mapping[str, Any]], folded: bool = False) -> Table:
    rows = [[check[key] for key in ("verdict", "what", "observed", "required", "judge")] for check in checks]
    return Table(caption, ("Verdict", "Check", "Observed", "Required", "By"), rows, folded, verdicts=True)
