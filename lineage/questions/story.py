"""Where a model came from, as a story to read: from what is served back to the source data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lineage.questions import served
from lineage.questions.decisions import in_a_word
from lineage.questions.facts import (
    ALTERED,
    GONE,
    Ancestor,
    Data,
    Decided,
    Evaluation,
    Judgement,
    Push,
    RunFacts,
    Thing,
    Training,
)
from lineage.questions.origin import Origin
from lineage.questions.served import Version
from lineage.questions.tables import labelled, table, when

_ANCESTORS = 3
_GONE = 20
_SHORT = 12
_IN_EFFECT_APART = ("algorithm", "rounds", "clients_per_round", "module_digest", "code_version", "mode")
_BYTES = {
    served.AS_PUSHED: "they are what was pushed",
    served.ALTERED: "ALTERED: they are not what was pushed",
    served.UNPROVEN: "nobody here pushed such bytes",
    served.GONE: "they are not there any more",
    served.UNCHECKED: "not looked at",
}


def lines(origin: Origin, columns: int, digests: bool = False) -> Iterator[str]:
    """Yields the story of a model in lines of `columns` characters, with the digests of everything if they are asked for."""
    yield origin.name
    for title, pairs in _chapters(origin):
        pairs = [(name, text) for name, text in pairs if text]
        if pairs:
            yield ""
            yield f"  {title}"
            yield from labelled(pairs, columns, indent=4)
    yield from _gone(origin)
    if digests:
        yield ""
        yield "  digests"
        rows = [[f"id:{one.id}", one.short_type, one.node, one.digest or "none recorded"] for one in origin.things]
        yield from (f"    {line}" for line in table(["artifact", "type", "made by", "sha256 of its files"], rows, columns - 4))


def _chapters(origin: Origin) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    if origin.served is not None:
        yield "served", _served(origin.served)
    if origin.model is None:
        yield (
            "origin",
            [("unknown", "no PushedModel in ML Metadata has these bytes: they were copied there by hand, or pushed elsewhere")],
        )
        return
    if origin.push is not None:
        yield "pushed", _push(origin.push, origin)
    if origin.decision is not None:
        run = origin.decision.record.run
        by_run = [("run", run)] if origin.push is None or origin.push.record.run != run else []
        yield "decided", [*_decided(origin.decision), *by_run]
    if origin.other_decisions:
        yield "other decisions about the same model", list(_judged(origin.other_decisions))
    if origin.evaluations:
        yield "evaluated", list(_evaluations(origin.evaluations))
    yield "model", [*_thing(origin.model)]
    if origin.training is not None:
        yield "trained", _training(origin.training, origin)
    yield from _data_chapters(origin)
    for ancestor in origin.ancestors[:_ANCESTORS]:
        yield f"warm start from id:{ancestor.training.model.id}", _ancestor(ancestor)
    if (more := len(origin.ancestors) - _ANCESTORS) > 0:
        yield "warm starts", [("before", f"{more} more models; --json names all")]
    if origin.trained_by is not None:
        yield "trained by", _run(origin.trained_by)
    if origin.pushed_by is not None and origin.pushed_by != origin.trained_by:
        yield "pushed by", _run(origin.pushed_by)


def _served(version: Version) -> list[tuple[str, str]]:
    loaded = "live" if version.live else "served beside the live one" if version.in_service else "not served"
    state = loaded if version.there else f"{version.how}: not there any more"
    how = "by hand: no push of it is recorded" if version.how == served.BY_HAND else ""
    return [
        ("folder", version.path),
        ("state", ", ".join([state, *(f"label {label}" for label in version.labels)])),
        ("ATTENTION", _elsewhere(version)),
        ("put there", how),
        ("bytes", f"{_BYTES[version.bytes]}{_digests_of(version)}"),
        ("statement", version.statement or ("none beside it" if version.there else "")),
    ]


def _elsewhere(version: Version) -> str:
    if not version.elsewhere:
        return ""
    return f"{served.judged_elsewhere(version).upper()}: models.config has {version.elsewhere} served, not this folder"


def _digests_of(version: Version) -> str:
    if version.bytes == ALTERED:
        return f" (sha256 {version.digest[:_SHORT] or 'none'}, pushed {version.recorded[:_SHORT]})"
    return f" (sha256 {version.digest})" if version.digest else ""


def _push(push: Push, origin: Origin) -> list[tuple[str, str]]:
    others = [one for one in origin.pushes if one is not push]
    approved = (
        f"{push.override} by {push.override_by} until {push.override_until}: {push.override_reason}" if push.override else ""
    )
    return [
        ("when", _when(push.record.created)),
        ("run", push.record.run),
        ("as", f"version {push.version}" if push.version else push.destination),
        (
            "held",
            f"not live with this push: the model was held at {push.held_at or 'other versions'}" if push.live is False else "",
        ),
        ("approval", approved),
        ("also by", _names(others)),
        ("record", _mark(push.record)),
    ]


def _names(pushes: Sequence[Push]) -> str:
    shown = [push.record.run for push in pushes[:_ANCESTORS]]
    return ", ".join(shown if len(pushes) <= _ANCESTORS else [*shown, "..."])


def _decided(decided: Decided) -> list[tuple[str, str]]:
    word = in_a_word({"blessed": int(bool(decided.blessed)), "override": str((decided.override or {}).get("action", ""))})
    word = word if decided.blessed is not None else "nothing: a gate without any threshold blesses nothing"
    counted = {
        verdict: sum(check["verdict"] == verdict for check in decided.checks) for verdict in ("passed", "failed", "skipped")
    }
    checks = (
        f"; checks: {', '.join(f'{number} {verdict}' for verdict, number in counted.items() if number)}"
        if decided.checks
        else ""
    )
    override = decided.override or {}
    damaged = {
        ALTERED: "decision.json is not what was decided on; only ML Metadata is told from",
        GONE: "decision.json is gone",
    }
    return [
        ("verdict", f"{word}{checks}"),
        ("when", _when(decided.decided_at)),
        ("approval", "{action} by {by} until {expires}: {reason}".format_map({"expires": "", **override}) if override else ""),
        ("failed", ", ".join(decided.failed_checks)),
        *(("because" if number == 0 else "", reason) for number, reason in enumerate(decided.reasons)),
        ("ATTENTION", damaged.get(decided.file, "")),
        ("record", _mark(decided.record)),
    ]


def _judged(others: Sequence[Judgement]) -> Iterator[tuple[str, str]]:
    """The newest of them, and how many more."""
    for one in others[: -_ANCESTORS - 1 : -1]:
        failed = f", failed {', '.join(one.failed_checks)}" if one.failed_checks else ""
        yield "later" if one.later else "before", f"{one.decision} by run {one.run or 'unknown'}, {_when(one.created)}{failed}"
    if (more := len(others) - _ANCESTORS) > 0:
        yield "and", f"{more} more; --json names all"


def _evaluations(findings: Sequence[Evaluation]) -> Iterator[tuple[str, str]]:
    """The numbers once, though a report repeats what it was made from."""
    told = {""}
    for finding in findings:
        numbers = _numbers(finding)
        many = f" on {finding.examples:,} examples" if finding.examples else ""
        text = _mark(finding.record) if numbers in told else f"{numbers}{many}"
        beside = f", beside id:{finding.compared_with}" if finding.compared_with else ""
        altered = "ALTERED: its files are not those that were published, " if finding.file == ALTERED else ""
        yield finding.record.node, f"{altered}{text}{beside}"
        told.add(numbers)


def _numbers(finding: Evaluation) -> str:
    models = sorted(finding.metrics.items(), key=lambda item: item[0] != "candidate")
    parts = [
        f"{'' if model in ('candidate', 'training') else model + ' '}{name} {value:.4f}"
        for model, values in models
        for name, value in values.items()
    ]
    return ", ".join(parts)


def _thing(one: Thing) -> Iterator[tuple[str, str]]:
    yield "artifact", f"id:{one.id}, made by {one.node or 'nobody that is known'}"
    yield "folder", one.uri
    yield "digest", one.digest or "none recorded"


def _training(done: Training, origin: Origin) -> list[tuple[str, str]]:
    planned = f" of {done.planned}" if done.planned not in (None, done.rounds) else ""
    rounds = f"{done.rounds}{planned}" if done.rounds is not None else ""
    some = f"{done.clients_per_round} of {done.clients} in a round" if done.clients_per_round and done.clients else ""
    settings = ", ".join(f"{name}={value}" for name, value in done.in_effect.items() if name not in _IN_EFFECT_APART)
    return [
        ("algorithm", done.algorithm),
        ("rounds", rounds),
        ("clients", some or (str(done.clients) if done.clients else "")),
        ("sampling", f"cohorts' digest {done.sampling_digest}" if done.sampling_digest else ""),
        ("privacy", _privacy(done.privacy) if done.privacy else "no differential privacy" if done.rounds is not None else ""),
        ("settings", settings),
        ("seed", "" if done.seed is None else str(done.seed)),
        ("code", _code(done)),
        ("began with", f"the weights of id:{done.base.id}, made by {done.base.node} in {done.base.run}" if done.base else ""),
        ("run", origin.trained_by.name if origin.trained_by else "not known"),
    ]


def _code(done: Training) -> str:
    module = f"{done.module}{f' (digest {done.module_digest})' if done.module_digest else ''}" if done.module else ""
    return ", ".join(filter(None, [module, f"the trainer's own code {done.code_version}" if done.code_version else ""]))


def _privacy(privacy: Mapping[str, Any]) -> str:
    told = f"epsilon {privacy['epsilon']:.4g}"
    if "epsilon_total" in privacy:
        told += f", with all trainings before it on these clients {privacy['epsilon_total']:.4g}"
    told += f", delta {privacy['delta']:g}" if "delta" in privacy else ""
    return f"{told} ({privacy['privacy_unit']})" if "privacy_unit" in privacy else told


def _data_chapters(origin: Origin) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    if (split := origin.split) is not None:
        sizes = f"{split.clients} clients, {split.examples} examples" if split.clients is not None else ""
        held = f"{split.eval_examples} examples, {split.held_out_clients or 0} clients" if split.eval_examples else ""
        yield (
            "split",
            [
                ("strategy", ", ".join([split.strategy, *(f"{name}={value}" for name, value in split.parameters.items())])),
                ("sizes", sizes),
                ("dropped", f"{split.dropped} examples" if split.dropped else ""),
                ("kept apart", held),
                ("left out", _left_out(split.left_out)),
                ("seed", "" if split.seed is None else str(split.seed)),
                ("record", _mark(split.record)),
            ],
        )
    checked = []
    if origin.schema is not None:
        how = {True: "inferred", False: "written by hand", None: "made"}[origin.schema.inferred]
        checked.append(("schema", f"{how} ({origin.schema.made_by}), {_mark(origin.schema.record)}"))
    if origin.validation is not None:
        verdicts = [f"{name}: {'no anomaly' if good else 'ANOMALIES'}" for name, good in origin.validation.no_anomalies.items()]
        checked.append(("anomalies", ", ".join([*verdicts, _mark(origin.validation.record)])))
    if checked:
        yield "checked", checked
    for data in origin.data:
        yield "data", _data(data)


def _data(data: Data) -> list[tuple[str, str]]:
    patterns = ", ".join(f"{name} {pattern}" for name, pattern in data.patterns.items())
    return [
        ("source", data.source or (f"what {data.reader} brings with it" if data.reader else "not known")),
        ("files", patterns if data.source else ""),
        ("fingerprint", data.fingerprint),
        ("examples", ", ".join(f"{name} {count:,}" for name, count in data.counts.items())),
        ("left out", _left_out(data.left_out)),
        ("span", "" if data.span is None else f"{data.span}{'' if data.version is None else f', version {data.version}'}"),
        ("read by", data.reader),
        ("record", _mark(data.record)),
    ]


def _left_out(count: int | None) -> str:
    return f"{count} forgotten client{'' if count == 1 else 's'}" if count else ""


def _ancestor(ancestor: Ancestor) -> list[tuple[str, str]]:
    done = ancestor.training
    return [
        ("algorithm", done.algorithm),
        ("rounds", "" if done.rounds is None else str(done.rounds)),
        ("run", done.model.run),
        ("split", _mark(ancestor.split.record) if ancestor.split else ""),
        *(("data", f"{data.source or data.reader}, fingerprint {data.fingerprint or 'none'}") for data in ancestor.data),
    ]


def _run(run: RunFacts) -> list[tuple[str, str]]:
    names = {"git_commit": "commit", "code_version": "code", "lock_digest": "lock", "config_digest": "config", "seed": "seed"}
    facts = [(short, str(run.facts[name])) for name, short in names.items() if name in run.facts]
    versions = [f"{name.removeprefix('version_')} {value}" for name, value in run.facts.items() if name.startswith("version_")]
    python = [f"python {run.facts['python']}"] if "python" in run.facts else []
    nothing = [] if facts or versions else [("recorded", "neither code nor environment: another runner's")]
    return [
        ("run", f"{run.name} of {run.pipeline}, {_when(run.created)}"),
        *facts,
        ("with", ", ".join([*python, *versions])),
        *nothing,
    ]


def _gone(origin: Origin) -> Iterator[str]:
    if origin.gone:
        yield ""
        yield "  not there any more"
        for one in origin.gone[:_GONE]:
            yield f"    id:{one.id} {one.type.rpartition('.')[2]}{' (removed by gc)' if one.deleted else ''}: {one.uri}"
        if (more := len(origin.gone) - _GONE) > 0:
            yield f"    and {more} more; --json names all"


def _mark(one: Thing) -> str:
    return f"id:{one.id}{'' if one.there is not False else ', gone'}{f', digest {one.digest[:_SHORT]}' if one.digest else ''}"


def _when(time: str) -> str:
    return f"{when(time, seconds=True)} UTC" if time else ""
