"""How a model was made, read from a part of ML Metadata: training, split, schema, examples. Also of what stock TFX recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lineage.graph import CACHED, COMPLETE, EXAMPLES, FEDERATED_EXAMPLES, MODEL, Artifact, Execution, Graph, Value, whole
from lineage.questions.facts import Ancestor, Data, Schema, Split, Training, Validation, thing

BESIDE = ("Schema", "ExampleAnomalies", "ExampleStatistics")
"""What a run makes beside what a model is trained on, and checks the data with."""
_BASE = "base_model"
_FORGOTTEN = "forgotten"
_PRIVACY = (
    "epsilon",
    "epsilon_rdp",
    "epsilon_total",
    "delta",
    "privacy_unit",
    "noise_multiplier",
    "noise",
    "privacy_ledger_digest",
)
_TOLD_APART = {
    *_PRIVACY,
    *(
        "algorithm",
        "rounds",
        "clients",
        "clients_per_round",
        "sampling_digest",
        "digest",
        "module",
        "module_digest",
        "code_version",
    ),
    *("is_external", "tfx_version"),
}
_OFF = (None, False, 0, "", "none")
_KEYS_OF_PARAMETERS = ("settings", "custom_config", "train_args", "eval_args")


def training(graph: Graph, model: Artifact) -> Training | None:
    """Returns how a model was trained; None if ML Metadata does not tell who made it."""
    maker = graph.producer(model.id)
    if maker is None:
        return None
    settings, said = parameters(maker), model.properties
    base = next(iter(graph.inputs(maker.id).get(_BASE, [])), None)
    return Training(
        model=thing(model, maker),
        execution=maker.id,
        algorithm=str(said.get("algorithm", "centralised" if "run_fn" in maker.properties else "")),
        rounds=whole(said.get("rounds")),
        planned=whole(settings.get("rounds")),
        clients=whole(said.get("clients")),
        clients_per_round=whole(said.get("clients_per_round", settings.get("clients_per_round"))),
        settings=settings,
        in_effect={name: value for name, value in settings.items() if value not in _OFF},
        recorded={name: value for name, value in sorted(said.items()) if name not in _TOLD_APART},
        sampling_digest=str(said.get("sampling_digest", "")),
        privacy=_privacy(said),
        seed=whole(maker.properties.get("seed", settings.get("seed"))),
        module=_module(maker, said),
        module_digest=str(
            said.get("module_digest") or maker.properties.get("module_digest") or settings.get("module_digest", "")
        ),
        code_version=str(said.get("code_version") or maker.properties.get("code_version") or settings.get("code_version", "")),
        base=thing(base, graph.producer(base.id)) if base else None,
    )


def parameters(execution: Execution) -> dict[str, Any]:
    """Returns an execution's settings, flattened: what its JSON parameters hold, names of nested ones joined by a dot."""
    found: dict[str, Any] = {}
    for key in _KEYS_OF_PARAMETERS:
        value = parsed(execution.properties.get(key))
        # Ours have one parameter with all settings; a stock trainer's two arguments have the same names inside.
        prefix = key if key.endswith("_args") else ""
        found |= flattened(value, prefix) if isinstance(value, Mapping) else {}
    return dict(sorted(found.items()))


def flattened(value: Any, prefix: str = "") -> dict[str, Any]:
    """Returns a nested mapping with one level: `{"a": {"b": 1}}` as `{"a.b": 1}`; lists stay what they are."""
    if not isinstance(value, Mapping):
        return {prefix: value}
    found: dict[str, Any] = {}
    for key, one in value.items():
        found |= flattened(one, f"{prefix}.{key}" if prefix else str(key))
    return found


def parsed(value: Value | None) -> Any:
    """Returns what a parameter that holds JSON says; None if it holds none."""
    try:
        return json.loads(value) if isinstance(value, str) else None
    except (ValueError, RecursionError):
        return None


def split(graph: Graph, model: Artifact) -> Split | None:
    """Returns the split that a model was trained on; None if it was trained on pooled examples."""
    found = _inputs(graph, model, FEDERATED_EXAMPLES)
    if not found:
        return None
    divided = found[0]
    maker, said = graph.producer(divided.id), divided.properties
    return Split(
        record=thing(divided, maker),
        strategy=str(said.get("strategy", "")),
        clients=whole(said.get("clients")),
        examples=whole(said.get("examples")),
        dropped=whole(said.get("dropped")),
        eval_examples=whole(said.get("eval_examples")),
        held_out_clients=whole(said.get("held_out_clients")),
        left_out=_left_out(maker),
        seed=whole(said.get("seed")),
        parameters=flattened(parsed(maker.properties.get("parameters")) or {}) if maker else {},
    )


def _left_out(maker: Execution | None) -> int | None:
    told = parsed(maker.properties.get(_FORGOTTEN)) if maker else None
    return whole(told.get("count")) if isinstance(told, Mapping) else None


def data(graph: Graph, model: Artifact) -> tuple[Data, ...]:
    """Returns the Examples that a model was trained on, not those of the models it went out from."""
    return tuple(_data(graph, examples) for examples in _examples(graph, model))


def schema(graph: Graph, model: Artifact) -> Schema | None:
    """Returns the schema that the training run checked the model's examples with; None if it had none.

    It is no input of our trainers. A stock one takes it in, or takes what Transform made with it.
    """
    found = _beside(graph, model, "Schema")
    if found is None:
        return None
    maker = graph.producer(found.id)
    kind = maker.type.rpartition(".")[2] if maker else ""
    inferred = {"InferredSchema": True, "SchemaGen": True, "CuratedSchema": False, "ImportSchemaGen": False}.get(kind)
    return Schema(thing(found, maker), kind, inferred)


def validation(graph: Graph, model: Artifact) -> Validation | None:
    """Returns what the training run found in the model's examples when it checked them; None if it did not."""
    found = _beside(graph, model, "ExampleAnomalies")
    if found is None:
        return None
    blessed = parsed(found.properties.get("blessed"))
    verdicts = {name: value == 1 for name, value in blessed.items()} if isinstance(blessed, Mapping) else {}
    return Validation(thing(found, graph.producer(found.id)), dict(sorted(verdicts.items())))


def ancestors(graph: Graph, model: Artifact) -> tuple[Ancestor, ...]:
    """Returns the models that a warm start went out from, nearest first."""
    found: list[Ancestor] = []
    for base in bases(graph, model):
        trained = training(graph, base)
        if trained is not None:
            found.append(Ancestor(trained, split(graph, base), data(graph, base)))
    return tuple(found)


def bases(graph: Graph, model: Artifact) -> list[Artifact]:
    """Returns the Models that a warm start went out from, nearest first."""
    found: list[Artifact] = []
    ahead = [model]
    while ahead:
        maker = graph.producer(ahead.pop(0).id)
        taken = [one for some in graph.inputs(maker.id).values() for one in some if one.type == MODEL] if maker else []
        new = [one for one in taken if one not in found]
        found += new
        ahead += new
    return found


def _inputs(graph: Graph, model: Artifact, kind: str) -> list[Artifact]:
    """Artifacts of a type that a model was trained on, going through no other model."""
    found: dict[int, Artifact] = {}
    seen, ahead = {model.id}, [model.id]
    while ahead:
        maker = graph.producer(ahead.pop())
        for one in (one for some in graph.inputs(maker.id).values() for one in some) if maker else ():
            if one.id not in seen and one.type != MODEL:
                seen.add(one.id)
                ahead.append(one.id)
                if one.type == kind:
                    found[one.id] = one
    return [found[key] for key in sorted(found)]


def _examples(graph: Graph, model: Artifact) -> list[Artifact]:
    """Those that nothing else made from Examples: Transform's are on the way."""
    found = _inputs(graph, model, EXAMPLES)
    return [one for one in found if not _made_of_examples(graph, one)] or found


def _made_of_examples(graph: Graph, examples: Artifact) -> bool:
    maker = graph.producer(examples.id)
    return maker is not None and any(one.type == EXAMPLES for some in graph.inputs(maker.id).values() for one in some)


def _data(graph: Graph, examples: Artifact) -> Data:
    maker, said = graph.producer(examples.id), examples.properties
    told: Mapping[str, Value] = maker.properties if maker else {}
    config = parsed(told.get("input_config"))
    splits = config.get("splits", []) if isinstance(config, Mapping) else []
    counts = {
        name.removeprefix("num_examples_"): whole(said[name]) or 0 for name in sorted(said) if name.startswith("num_examples_")
    }
    return Data(
        record=thing(examples, maker),
        reader=maker.type.rpartition(".")[2] if maker else "",
        source=str(told.get("input_base", "")),
        patterns={str(one.get("name", "")): str(one.get("pattern", "")) for one in splits if isinstance(one, Mapping)},
        format=str(said.get("file_format", "")),
        counts=counts,
        left_out=whole(said.get(_FORGOTTEN)),
        span=whole(said.get("span")),
        version=whole(said.get("version")),
        fingerprint=str(said.get("input_fingerprint", told.get("input_fingerprint", ""))),
        seed=whole(said.get("seed")),
    )


def _beside(graph: Graph, model: Artifact, kind: str) -> Artifact | None:
    """An input of the training of this type; or else what the training run published of the same examples."""
    if taken := _inputs(graph, model, kind):
        return taken[-1]
    maker = graph.producer(model.id)
    examples = {one.id for one in _examples(graph, model)}
    for execution in graph.of_run(maker.run) if maker and maker.run else ():
        outputs = [one for some in graph.outputs(execution.id).values() for one in some if one.type == kind]
        if outputs and execution.state in (COMPLETE, CACHED) and _comes_from(graph, execution, examples):
            return outputs[0]
    return None


def _comes_from(graph: Graph, execution: Execution, examples: set[int]) -> bool:
    """Whether it was made of these examples; a curated schema is made of none."""
    ahead, seen = [execution], set()
    found_inputs = False
    while ahead:
        one = ahead.pop()
        for artifact in (artifact for some in graph.inputs(one.id).values() for artifact in some):
            if artifact.id in examples:
                return True
            found_inputs = True
            if artifact.id not in seen:
                seen.add(artifact.id)
                ahead += graph.publications(artifact.id)
    return not found_inputs


def _privacy(said: Mapping[str, Value]) -> dict[str, Value] | None:
    return {name: said[name] for name in _PRIVACY if name in said} if "epsilon" in said else None


def _module(maker: Execution, said: Mapping[str, Value]) -> str:
    run_fn = str(maker.properties.get("run_fn") or "").rpartition(".")[0]
    for told in (said.get("module"), maker.properties.get("module"), run_fn):
        if told:
            return str(told)
    return next((str(maker.properties[key]) for key in ("module_file", "module_path") if maker.properties.get(key)), "")
