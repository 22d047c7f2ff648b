"""What came of data, of an artifact, of a client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from errors import ConfigError
from lineage.questions import impact
from lineage.questions.impact import Impact

STATES = mlmd.Execution.State


def impact_of(pipelines: Any, text: str) -> Impact:
    with pipelines.places.opened() as store:
        return impact.of_text(text, store, pipelines.places)


def of_client(pipelines: Any, client: str) -> Impact:
    with pipelines.places.opened() as store:
        return impact.of_client(client, store, pipelines.places)


def models(found: Any) -> list[int]:
    return sorted(came.model.id for came in found)


def hold(pipelines: Any, split: int, *clients: str) -> None:
    """Gives a split an index that names these clients."""
    folder = Path(pipelines.writer.store.get_artifacts_by_id([split])[0].uri, "Split-train")
    folder.mkdir()
    pq.write_table(pa.table({"client_id": list(clients)}), folder / "index.parquet")


def test_source_file_reaches_all_models_that_were_trained_on_it_and_tells_the_live_ones(pipelines: Any) -> None:
    first = pipelines.whole("r-1", text="1")
    second = pipelines.whole("r-2", text="2")
    for path in (pipelines.source, pipelines.source / "part-1.csv", pipelines.source.parent):
        found = impact_of(pipelines, str(path))
        assert models(found.models) == [first["model"], second["model"]]
        assert found.live == (f"p/{second['version']}",)
        assert {came.how for came in found.models} == {"trained on it"}


def test_file_that_the_pattern_does_not_find_was_not_read(pipelines: Any) -> None:
    pipelines.whole("r-1")
    with pytest.raises(ConfigError, match=f"nothing was read from there.*{pipelines.source}"):
        impact_of(pipelines, str(pipelines.source / "notes.txt"))
    with pytest.raises(ConfigError):
        impact_of(pipelines, f"{pipelines.source}-2")


def test_artifact_is_known_by_id_folder_file_and_digest(pipelines: Any) -> None:
    made = pipelines.whole("r-1", text="1")
    pipelines.whole("r-2", text="2")
    artifact = pipelines.writer.store.get_artifacts_by_id([made["examples"]])[0]
    digest = artifact.custom_properties["digest"].string_value
    for name in (f"id:{artifact.id}", artifact.uri, f"{artifact.uri}/data", digest, digest[:8]):
        assert models(impact_of(pipelines, name).models) == [made["model"]]


def test_warm_start_carries_on_what_a_model_was_trained_on(pipelines: Any) -> None:
    first = pipelines.whole("r-1", text="1")
    second = pipelines.whole("r-2", base=first["model"], text="2")
    third = pipelines.whole("r-3", base=second["model"], text="3")
    found = impact_of(pipelines, f"id:{first['examples']}")
    told = {came.model.id: came.how for came in found.models}
    assert told[first["model"]] == "trained on it"
    assert told[second["model"]] == f"warm start from id:{first['model']}"
    assert told[third["model"]] == f"warm start from id:{second['model']}"
    assert found.models[0].through == (
        first["examples"],
        first["federated_examples"],
        *(one["model"] for one in (first, second, third)),
    )
    assert models(impact_of(pipelines, f"p/{second['version']}").models) == [second["model"], third["model"]]


def test_models_that_were_only_compared_are_told_apart(pipelines: Any) -> None:
    first = pipelines.whole("r-1", text="1")
    second = pipelines.whole("r-2", served=first["model"], text="2")
    found = impact_of(pipelines, f"id:{first['model']}")
    assert (models(found.models), models(found.compared)) == ([first["model"]], [second["model"]])
    data = impact_of(pipelines, f"id:{first['examples']}")
    assert (models(data.models), models(data.compared)) == ([first["model"]], [])


def test_failed_and_cached_executions_reach_nothing_new(pipelines: Any) -> None:
    data = pipelines.data("r-1")
    inputs = {"federated_examples": [data["federated_examples"]]}
    model = pipelines.train("r-1", data["federated_examples"])
    pipelines.put("r-2", "FederatedTrainer", inputs, {}, state=STATES.FAILED)
    pipelines.put("r-3", "FederatedTrainer", inputs, {"model": model}, state=STATES.CACHED)
    assert models(impact_of(pipelines, f"id:{data['examples']}").models) == [model]


@pytest.mark.slow
def test_more_than_a_hundred_models_are_all_found(pipelines: Any) -> None:
    data = pipelines.data("r-0")
    splits, writer = [], pipelines.writer
    for number in range(130):
        new = {"federated_examples": [writer.artifact("components.FederatedExamples", f"/s/{number}")]}
        splits.append(
            writer.execute("p", "r-0", "FederatedSplit", {"examples": [data["examples"]]}, new)[1]["federated_examples"][0]
        )
    trained = []
    for number, split in enumerate(splits):
        new = {"model": [writer.artifact("Model", f"/m/{number}")]}
        trained.append(writer.execute("p", "r-0", "FederatedTrainer", {"federated_examples": [split]}, new)[1]["model"][0])
    assert models(impact_of(pipelines, f"id:{data['examples']}").models) == trained


def test_client_reaches_the_models_whose_split_or_examples_hold_it(pipelines: Any) -> None:
    first = pipelines.whole("r-1", text="1")
    second = pipelines.whole("r-2", text="2")
    hold(pipelines, first["federated_examples"], "ada", "bob")
    hold(pipelines, second["federated_examples"], "bob")
    found = of_client(pipelines, "ada")
    assert (models(found.models), found.live) == ([first["model"]], ())
    both = of_client(pipelines, "bob")
    assert (models(both.models), both.live) == ([first["model"], second["model"]], (f"p/{second['version']}",))
    assert "ada" not in str(found.as_json())
    assert models(of_client(pipelines, "nobody").models) == []


def test_models_of_a_split_whose_index_is_gone_may_hold_a_client(pipelines: Any) -> None:
    first = pipelines.whole("r-1", text="1")
    second = pipelines.whole("r-2", base=first["model"], text="2")
    hold(pipelines, second["federated_examples"], "bob")
    pipelines.remove(first["federated_examples"])
    found = of_client(pipelines, "ada")
    assert (models(found.models), models(found.possible)) == ([], [first["model"], second["model"]])
    assert found.possibly_live == (f"p/{second['version']}",)


def test_same_data_that_was_read_again_is_told_and_reached_by_its_digest(pipelines: Any) -> None:
    first, second = pipelines.whole("r-1", text="1"), pipelines.whole("r-2", text="1")
    found = impact_of(pipelines, f"id:{first['examples']}")
    assert ([one.id for one in found.same_files], models(found.models)) == ([second["examples"]], [first["model"]])
    assert models(impact_of(pipelines, found.same_files[0].digest).models) == [first["model"], second["model"]]


@pytest.mark.parametrize("text", ["/nowhere", "id:9999", "nothing", "0123456789abcdef"])
def test_what_is_not_known_is_refused_in_a_line(two_runs: Any, text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        impact_of(two_runs, text)
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith(f"{text}: expected")
