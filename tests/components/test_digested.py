"""What a node publishes carries the digest of its bytes, whoever wrote them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.proto.orchestration import execution_result_pb2
from tfx.types.standard_artifacts import ExampleAnomalies, Model, ModelBlessing, PushedModel

from components import digested
from components.curated_schema.executor import Executor as CuratedSchema
from components.infra_validator.executor import Executor as InfraValidator
from components.statistics_gen.executor import Executor as StatisticsGen
from lineage.digests import tree_digest


class Stock(BaseExecutor):
    """Writes a file into the first output, and returns what it was given, as newer executors do."""

    def Do(self, input_dict, output_dict, exec_properties):
        [first, *_] = next(iter(output_dict.values()))
        Path(first.uri).mkdir(parents=True, exist_ok=True)
        Path(first.uri, "file").write_text("a")
        return exec_properties.get("result")


class Executor(digested.Digested, Stock):
    """A stock executor with digests."""


def artifact(kind, folder: Path):
    made = kind()
    made.uri = str(folder)
    return made


def test_outputs_of_a_stock_executor_carry_the_digest_of_their_bytes_also_an_empty_one(tmp_path):
    model, blessing = artifact(Model, tmp_path / "model"), artifact(ModelBlessing, tmp_path / "blessing")
    Executor().Do({}, {"model": [model], "blessing": [blessing]}, {})
    assert model.get_string_custom_property("digest") == tree_digest(tmp_path / "model")
    assert blessing.get_string_custom_property("digest") == tree_digest(tmp_path / "blessing")
    assert digested.recorded(model) == tree_digest(tmp_path / "model")


def test_digest_that_an_executor_has_set_itself_stays(tmp_path):
    model = artifact(Model, tmp_path)
    model.set_string_custom_property("digest", "its own")
    Executor().Do({}, {"model": [model]}, {})
    assert model.get_string_custom_property("digest") == "its own"


def test_what_an_executor_returns_to_be_published_instead_carries_it_too(tmp_path):
    anomalies, result = artifact(ExampleAnomalies, tmp_path), execution_result_pb2.ExecutorOutput()
    result.output_artifacts["anomalies"].artifacts.append(anomalies.mlmd_artifact)
    assert Executor().Do({}, {"anomalies": [anomalies]}, {"result": result}) is result
    [published] = result.output_artifacts["anomalies"].artifacts
    assert published.custom_properties["digest"].string_value == tree_digest(tmp_path)


def test_record_digest_is_that_of_the_own_directory_of_who_tells_of_another(tmp_path):
    pushed = artifact(PushedModel, tmp_path)
    pushed.set_string_custom_property("digest", "of the version")
    assert digested.recorded(pushed) == ""
    pushed.set_string_custom_property(digested.RECORD_DIGEST, "of the record")
    assert digested.recorded(pushed) == "of the record"


@pytest.mark.parametrize("executor", [StatisticsGen, InfraValidator, CuratedSchema])
def test_stock_executors_of_the_pipeline_come_after_the_digests(executor):
    own, stock = executor.__mro__[1:3]
    assert own is digested.Digested
    assert stock.__module__.startswith("tfx.components.")
