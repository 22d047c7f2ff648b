import numpy as np

from modeling import batches, contract


def labels(dataset) -> list[int]:
    return [label for _, batch in dataset for label in batch.numpy().tolist()]


def test_examples_become_what_preprocess_makes_of_them_and_the_label(flowers, flower_records) -> None:
    x, label = batches.parse(contract.load(flowers()), flower_records(4))
    np.testing.assert_array_equal(x, [[-1, 0, 1], [0, 1, 1], [1, 2, 1], [-1, 3, 1]])
    np.testing.assert_array_equal(label, [0, 1, 2, 0])


def test_without_a_seed_examples_come_in_the_order_of_the_files(flowers, flower_records, write_split) -> None:
    patterns = write_split("train", flower_records(10), files=2)
    found = batches.dataset(contract.load(flowers()), patterns, batch_size=4)
    assert [len(label) for _, label in found] == [4, 4, 2]
    assert labels(found) == [0, 2, 1, 0, 2, 1, 0, 2, 1, 0]


def test_a_seed_gives_the_same_order_again_and_another_one_in_each_epoch(flowers, flower_records, write_split) -> None:
    module, patterns = contract.load(flowers()), write_split("train", flower_records(30))
    first, second = (batches.dataset(module, patterns, batch_size=7, shuffle_seed=5) for _ in range(2))
    epochs = [labels(first), labels(first)]
    assert epochs == [labels(second), labels(second)]
    assert epochs[0] != epochs[1]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted([0, 1, 2] * 10)


def test_records_of_all_files_are_counted(flower_records, write_split) -> None:
    assert batches.count(write_split("train", flower_records(10), files=3)) == 10


def numbers(dataset) -> list[tuple[float, ...]]:
    return [tuple(row) for x, _ in dataset for row in x.numpy().tolist()]


def test_a_tenth_and_the_rest_are_all_records_and_have_none_in_common(flowers, flower_records, write_split) -> None:
    module, patterns = contract.load(flowers()), write_split("train", flower_records(600), files=3)
    every, tenth, rest = (
        numbers(batches.dataset(module, patterns, batch_size=50, part=part)) for part in ("all", "tenth", "rest")
    )
    assert sorted(tenth + rest) == sorted(every)
    assert not set(tenth) & set(rest)
    assert 30 <= len(tenth) <= 90
    assert [batches.count(patterns, part) for part in ("all", "tenth", "rest")] == [600, len(tenth), len(rest)]


def test_a_record_is_in_the_same_part_wherever_it_lies_and_with_all_that_equal_it(flowers, flower_records, write_split) -> None:
    module, records = contract.load(flowers()), flower_records(60)
    once = numbers(batches.dataset(module, write_split("once", records), batch_size=60, part="tenth"))
    again = write_split("again", [*reversed(records), *records], files=2)
    assert sorted(numbers(batches.dataset(module, again, batch_size=60, part="tenth"))) == sorted(once * 2)
    assert once
