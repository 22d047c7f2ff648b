from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.example_gens.splits import draw, split_index
from lineage.digests import tree_digest


def _write(folder: Path, lines: list[str], per_file: int) -> Path:
    folder.mkdir()
    for start in range(0, len(lines), per_file):
        (folder / f"part{start}.csv").write_text("name,size\n" + "".join(lines[start : start + per_file]))
    return folder


def _digest(examples) -> str:
    digest = examples.get_string_custom_property("digest")
    assert digest == tree_digest(examples.uri)
    return digest


LINES = [f"item{number},{number}\n" for number in range(200)]


def test_same_seed_gives_same_files_byte_for_byte_whatever_the_input_order(tmp_path, generate):
    shuffled = random.Random(3).sample(LINES, len(LINES))
    one = generate("csv", _write(tmp_path / "one", LINES, per_file=200), seed=4)
    other = generate("csv", _write(tmp_path / "other", shuffled, per_file=37), seed=4)
    assert _digest(one) == _digest(other)


@pytest.mark.slow
def test_workers_and_threads_do_not_change_the_files(tmp_path, generate):
    folder = _write(tmp_path / "data", LINES, per_file=20)
    alone = generate("csv", folder)
    together = generate("csv", folder, beam=["--direct_running_mode=multi_threading", "--direct_num_workers=3"])
    assert _digest(alone) == _digest(together)


def test_other_seed_gives_another_split_of_the_same_examples(tmp_path, generate, records):
    folder = _write(tmp_path / "data", LINES, per_file=200)
    one, other = (generate("csv", folder, seed=seed) for seed in (4, 5))
    evals = [set(records(examples, "eval")) for examples in (one, other)]
    assert evals[0] != evals[1]
    everything = [sorted(records(examples, "train") + records(examples, "eval")) for examples in (one, other)]
    assert everything[0] == everything[1]
    assert len(everything[0]) == 200


def test_counts_are_recorded_and_near_the_asked_shares(tmp_path, generate, records):
    examples = generate("csv", _write(tmp_path / "data", LINES, per_file=200), splits={"train": 4, "eval": 1})
    count = examples.get_int_custom_property("num_examples_eval")
    assert count == len(records(examples, "eval"))
    assert 20 <= count <= 60
    assert examples.get_int_custom_property("num_examples_train") == 200 - count


def test_split_without_examples_is_refused(tmp_path, refused):
    folder = _write(tmp_path / "data", LINES[:1], per_file=1)
    assert "expected examples, got none of 1; give more data" in refused("csv", folder)


def test_given_splits_are_kept(tmp_path, generate, rows):
    folder = _write(tmp_path / "data", LINES, per_file=150)
    examples = generate("csv", folder, splits={"train": "part0.csv", "eval": "part15*.csv"})
    assert {row["size"][0] for row in rows(examples, "train")} == set(range(150))
    assert {row["size"][0] for row in rows(examples, "eval")} == set(range(150, 200))


def test_file_in_two_given_splits_is_refused(tmp_path, refused):
    folder = _write(tmp_path / "data", LINES, per_file=150)
    message = refused("csv", folder, splits={"train": "*.csv", "eval": "part150.csv"})
    assert "part150.csv: expected each file in one split, got it in 'eval' and another" in message


@given(st.binary(), st.integers(), st.lists(st.integers(1, 9), min_size=2, max_size=4))
def test_every_record_falls_into_one_of_the_splits(record, seed, buckets):
    bounds = [sum(buckets[: index + 1]) for index in range(len(buckets))]
    assert 0 <= split_index(record, len(buckets), bounds, seed) < len(buckets)


def test_draws_for_different_purposes_are_not_correlated():
    records = [str(number).encode() for number in range(2000)]
    held_out = [record for record in records if draw(record, 1, "split") % 5 == 4]
    assert {draw(record, 1, "client") % 5 for record in held_out} == set(range(5))
