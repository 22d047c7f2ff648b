"""Which examples make up which batch: properties that hold for any clients."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from components.federated_trainer.clients.batching import Batches, Work, batches

CLIENT = st.tuples(st.integers(1, 40), st.integers(1, 3), st.integers(0, 2**64 - 1))
CLIENTS = st.lists(CLIENT, min_size=1, max_size=6)
OPTIONS = st.fixed_dictionaries(
    {"batch_size": st.integers(1, 12), "shuffle": st.booleans(), "cap": st.none() | st.integers(1, 45)}
)


def made_for(clients: list[tuple[int, int, int]], **options) -> Batches:
    sizes, epochs, seeds = zip(*clients, strict=True)
    return batches(np.array(sizes), np.array(epochs), np.array(seeds, np.uint64), **options)


def epochs_of(made: Batches, clients: list[tuple[int, int, int]], client: int) -> list[list[int]]:
    """Positions of a client's examples, counted from its own first, epoch after epoch."""
    start = sum(size for size, _, _ in clients[:client])
    rows = made.order[made.bounds[made.first[client]] : made.bounds[made.first[client + 1]]] - start
    return np.split(rows, clients[client][1])


@settings(max_examples=60, deadline=None)
@given(CLIENTS, OPTIONS)
def test_every_epoch_is_a_permutation_of_the_same_examples(clients, options) -> None:
    made = made_for(clients, **options)
    for client, (size, _, _) in enumerate(clients):
        used = min(size, options["cap"] or size)
        assert made.used[client] == used
        epochs = [sorted(epoch.tolist()) for epoch in epochs_of(made, clients, client)]
        assert all(epoch == epochs[0] for epoch in epochs)
        assert len(set(epochs[0])) == len(epochs[0]) == used
        assert set(epochs[0]) <= set(range(size))
        if not options["shuffle"]:
            assert all(epoch.tolist() == list(range(used)) for epoch in epochs_of(made, clients, client))


@settings(max_examples=60, deadline=None)
@given(CLIENTS, OPTIONS, st.data())
def test_a_clients_batches_do_not_depend_on_its_neighbours(clients, options, data) -> None:
    client = data.draw(st.integers(0, len(clients) - 1))
    together = epochs_of(made_for(clients, **options), clients, client)
    alone = epochs_of(made_for([clients[client]], **options), [clients[client]], 0)
    np.testing.assert_array_equal(together, alone)


@settings(max_examples=60, deadline=None)
@given(CLIENTS, OPTIONS)
def test_batches_are_full_but_for_the_last_of_an_epoch(clients, options) -> None:
    made = made_for(clients, **options)
    assert (made.bounds[0], made.bounds[-1], made.first[0], made.first[-1]) == (0, len(made.order), 0, len(made.bounds) - 1)
    for client, (_, epochs, _) in enumerate(clients):
        lengths = np.diff(made.bounds[made.first[client] : made.first[client + 1] + 1])
        used, full = int(made.used[client]), options["batch_size"]
        rest = [used % full] if used % full else []
        assert lengths.tolist() == epochs * ([full] * (used // full) + rest)


@settings(max_examples=30, deadline=None)
@given(CLIENTS, OPTIONS, st.integers(0, 2))
def test_epochs_can_be_asked_for_one_by_one(clients, options, epoch) -> None:
    clients = [(size, 3, seed) for size, _, seed in clients]
    all_at_once = made_for(clients, **options)
    single = [(size, 1, seed) for size, _, seed in clients]
    one = made_for(single, **options, first_epoch=epoch)
    for client in range(len(clients)):
        np.testing.assert_array_equal(epochs_of(all_at_once, clients, client)[epoch], epochs_of(one, single, client)[0])


def test_order_is_new_in_each_epoch_and_with_each_seed() -> None:
    options = {"batch_size": 10, "shuffle": True, "cap": None}
    first, second = epochs_of(made_for([(200, 2, 5)], **options), [(200, 2, 5)], 0)
    (other,) = epochs_of(made_for([(200, 1, 6)], **options), [(200, 1, 6)], 0)
    assert first.tolist() != second.tolist()
    assert first.tolist() != other.tolist()


def test_each_example_is_equally_likely_to_come_first_and_to_be_under_the_cap() -> None:
    count = 20_000
    clients = [(10, 1, seed) for seed in range(count)]
    firsts = made_for(clients, batch_size=4, shuffle=True, cap=4).order.reshape(count, 4) - 10 * np.arange(count)[:, np.newaxis]
    for shares in (np.bincount(firsts[:, 0]) / count, np.bincount(firsts.ravel()) / (4 * count)):
        np.testing.assert_allclose(shares, 0.1, atol=0.01)


def test_work_gives_its_seeds_as_tensorflow_takes_them() -> None:
    work = Work(np.arange(2), np.ones(2, np.int64), np.array([2**64 - 1, 2**32 + 7], np.uint64))
    assert work.seed_pairs.dtype == np.int64
    assert work.seed_pairs.tolist() == [[2**32 - 1, 2**32 - 1], [1, 7]]
    assert work.take(slice(1, 2)).seed_pairs.tolist() == [[1, 7]]
