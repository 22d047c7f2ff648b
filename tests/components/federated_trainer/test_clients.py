import numpy as np
import pytest
import tensorflow as tf

from components.federated_split.blocks import Clients
from components.federated_trainer import clients as client_data
from modeling import contract


@pytest.fixture(scope="module")
def module(write_module, linear_source) -> contract.ModelModule:
    return contract.load(write_module(linear_source))


@pytest.fixture(scope="module")
def clients(write_clients, records) -> Clients:
    """Two clients, in several small blocks each."""
    return Clients.open(write_clients("blocks", {"ann": records(20, 1), "bob": records(13, 2)}, block_bytes=200))


@pytest.fixture
def batches_of(clients, module):
    """The (x, y) batches of a client, as NumPy arrays."""

    def read(client: str, *, seed: int = 3, batch_size: int = 4, epochs: int = 1) -> list[tuple[np.ndarray, np.ndarray]]:
        packed = tf.constant(client_data.handle(clients.blocks(client), seed))
        paths, sizes = clients.shard_paths, clients.shard_sizes
        found = client_data.dataset(packed, module, paths, sizes, batch_size=batch_size, epochs=epochs)
        return list(found.as_numpy_iterator())

    return read


def labels(batches: list[tuple[np.ndarray, np.ndarray]]) -> list[float]:
    return np.concatenate([label for _, label in batches]).tolist()


def test_a_client_of_several_blocks_is_read_completely_and_alone(clients, module, batches_of) -> None:
    assert len(clients.blocks("bob")) > 2
    own = tf.io.parse_example(clients.examples("bob"), module.features)
    batches = batches_of("bob")
    assert [len(label) for _, label in batches] == [4, 4, 4, 1]
    assert sorted(labels(batches)) == sorted(own["y"].numpy().tolist())
    for x, label in batches:
        np.testing.assert_allclose(x @ [1, 2, 3] + 0.5, label, rtol=1e-4)


def test_order_comes_from_the_seed_and_is_new_in_each_local_epoch(batches_of) -> None:
    first = labels(batches_of("ann", epochs=2))
    assert first == labels(batches_of("ann", epochs=2))
    assert first != labels(batches_of("ann", epochs=2, seed=4))
    assert first[:20] != first[20:]
    assert sorted(first[:20]) == sorted(first[20:])


def test_a_handle_is_small_whatever_the_client_holds(clients) -> None:
    handle = client_data.handle(clients.blocks("ann"), 2**63 - 1)
    assert (handle.dtype, handle.shape) == (np.int64, (len(clients.blocks("ann")) + 1, 3))
    assert handle[0].tolist() == [2**63 - 1, 0, 0]
