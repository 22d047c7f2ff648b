from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import pytest

import errors
from components.beam_errors import cause_of
from components.example_gens import idx


def _run(path: Path, *options: str) -> Exception:
    """Lets a worker check images that have no labels."""
    path.write_bytes(b"")
    with pytest.raises(Exception) as caught, beam.Pipeline(argv=["--runner=DirectRunner", *options]) as pipeline:
        _ = pipeline | beam.Create([str(path)]) | "Check [it]" >> beam.Map(idx.check_pair)
    return caught.value


IN_ANOTHER_PROCESS = ["--direct_running_mode=multi_processing", "--direct_num_workers=1"]


@pytest.mark.parametrize("options", [[], pytest.param(IN_ANOTHER_PROCESS, marks=pytest.mark.slow)], ids=["here", "process"])
def test_data_error_raised_in_a_worker_is_found_with_its_own_words(tmp_path, options):
    found = cause_of(_run(tmp_path / "a-images-idx3-ubyte", *options))
    assert type(found) is errors.DataError
    assert str(found).endswith("expected a labels file beside it ('labels-idx1' for 'images-idx3'), got none; put it there")


def test_project_error_behind_other_exceptions_is_found():
    try:
        try:
            raise errors.TrainingError("loss is NaN; lower the rate")
        except errors.TrainingError as error:
            raise RuntimeError("worker died") from error
    except RuntimeError as error:
        assert str(cause_of(error)) == "loss is NaN; lower the rate"


def test_project_error_itself_is_returned_as_it_is():
    error = errors.PushError("version 3 exists; remove it")
    assert cause_of(error) is error


@pytest.mark.parametrize(
    "text", ["", "boom", "Traceback:\npsycopg2.errors.DataError: not ours", "errors.NoSuchError: x", "errors.annotations: x"]
)
def test_exception_of_somebody_else_has_no_project_cause(text: str):
    assert cause_of(RuntimeError(text)) is None
