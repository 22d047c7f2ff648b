"""FederatedExamples read outside of the pipeline."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components import FederatedExamples
from components.federated_split.blocks import Clients
from components.federated_split.datasets import Lookup
from components.federated_split.reader import ClientExamples
from errors import ConfigError, DataError, IntegrityError
from lineage.digests import tree_digest

FEATURES = {"label": tf.io.FixedLenFeature([], tf.int64), "x": tf.io.FixedLenFeature([2], tf.float32)}


@pytest.fixture(scope="module")
def module(tmp_path_factory) -> str:
    """Import path of a model module for these examples."""
    folder = tmp_path_factory.mktemp("modules")
    source = Path(folder, "reader_test_model.py")
    source.write_text(
        "import tensorflow as tf\n"
        "LABEL_KEY = 'label'\n"
        "FEATURES = {'label': tf.io.FixedLenFeature([], tf.int64), 'x': tf.io.FixedLenFeature([2], tf.float32)}\n"
        "def preprocess(raw):\n    return raw['x'] * 2\n"
        "def build_model():\n"
        "    return tf.keras.Sequential([tf.keras.layers.Input([2]), tf.keras.layers.Dense(3)])\n"
        "def build_loss():\n    return tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)\n"
        "def build_metrics():\n    return []\n"
        "def run_fn(fn_args):\n    pass\n"
    )
    sys.path.insert(0, str(folder))
    yield source.stem
    sys.path.remove(str(folder))


@pytest.fixture
def uri(write_examples, divide, make_example) -> str:
    """120 examples of 3 labels, of 4 users with ids in several scripts, in blocks of a few examples."""
    users = ["ann", "bébé", "zoë", "客"]
    records = [make_example(label=n % 3, user=users[n % 7 % 4].encode(), x=[float(n), 0.5]) for n in range(120)]
    return divide(write_examples(records), strategy="by_key", key="user", label="label", block_bytes=400).uri


@pytest.fixture
def examples(uri: str) -> ClientExamples:
    return FederatedExamples.open(uri)


def test_clients_counts_and_facts_are_those_of_the_division(examples: ClientExamples, uri: str) -> None:
    assert examples.clients == Clients.open(uri).ids
    assert len(examples) == len(examples.clients) == examples.partition["num_clients"]
    assert sum(map(examples.num_examples, examples.clients)) == 120
    totals = sum((Counter(examples.labels(client)) for client in examples.clients), Counter())
    assert totals == examples.partition["label_totals"] == {"0": 40, "1": 40, "2": 40}
    assert (examples.splits, examples.split) == (["train"], "train")
    assert Path(examples.picture).read_text().startswith("<?xml")
    assert "ann" not in repr(examples)


def test_a_client_is_a_dataset_of_its_serialized_examples(examples: ClientExamples, uri: str) -> None:
    for client in examples.clients:
        dataset = examples.client(client)
        assert dataset.cardinality() == examples.num_examples(client)
        assert list(dataset.as_numpy_iterator()) == Clients.open(uri).examples(client)
    assert len(Clients.open(uri).blocks("ann")) > 1


def test_a_client_is_parsed_by_a_feature_spec(examples: ClientExamples) -> None:
    parsed = list(examples.client("ann", features=FEATURES))
    assert Counter(str(example["label"].numpy()) for example in parsed) == examples.labels("ann")
    assert all(example["x"].shape == [2] for example in parsed)


def test_a_client_is_parsed_by_a_model_module_as_in_training(examples: ClientExamples, module: str) -> None:
    raw = {float(example["x"][0]): int(example["label"]) for example in examples.client("ann", features=FEATURES)}
    for x, label in examples.client("ann", module=module).as_numpy_iterator():
        assert x.tolist() == [x[0], 1.0]  # preprocess has doubled it
        assert raw[x[0] / 2] == label


def test_examples_are_parsed_in_one_way(examples: ClientExamples, module: str) -> None:
    with pytest.raises(ConfigError, match="got both"):
        examples.client("ann", features=FEATURES, module=module)


@pytest.mark.parametrize("name", ["Ann", "", "zzz", 3, None])
def test_an_unknown_client_is_one_clear_line(examples: ClientExamples, name) -> None:
    for ask in (examples.num_examples, examples.labels, examples.client):
        with pytest.raises(KeyError, match=f"expected one of the {len(examples)} clients") as raised:
            ask(name)
        assert "\n" not in str(raised.value)


def test_an_unknown_split_is_one_clear_line(uri: str) -> None:
    with pytest.raises(IntegrityError, match="split 'test'") as raised:
        FederatedExamples.open(uri, "test")
    assert "\n" not in str(raised.value)


def test_a_flipped_byte_is_found_before_the_client_is_read(examples: ClientExamples) -> None:
    examples.verify()
    clients = Clients.open(examples.uri)
    shard, offset, _ = clients.blocks(clients.ids[-1])[0]
    path = Path(clients.shard_paths[shard])
    data = bytearray(path.read_bytes())
    data[offset + 12] ^= 1
    path.write_bytes(data)
    for read in (examples.verify, lambda: examples.client(clients.ids[-1])):
        with pytest.raises(IntegrityError, match=path.name) as raised:
            read()
        assert "\n" not in str(raised.value)


def test_reading_changes_nothing(examples: ClientExamples) -> None:
    before = tree_digest(examples.uri)
    examples.verify()
    list(examples.client("ann"))
    assert tree_digest(examples.uri) == before


def test_both_sides_of_a_hold_out_can_be_opened(write_examples, divide, make_example) -> None:
    records = [make_example(label=n % 3, x=[float(n), 0.5]) for n in range(400)]
    uri = divide(write_examples(records), clients=5, holdout=0.25).uri
    train, evaluation = FederatedExamples.open(uri), FederatedExamples.open(uri, "eval")
    assert train.splits == evaluation.splits == ["eval", "train"]
    counts = [sum(map(side.num_examples, side.clients)) for side in (train, evaluation)]
    assert sum(counts) == 400
    assert 50 < counts[1] < 150


OPEN = "import sys\nfrom components.federated_split.reader import ClientExamples\nexamples = ClientExamples.open({uri!r})\n"
READ = OPEN + "assert sum(1 for _ in examples.client(examples.clients[0])) == examples.num_examples(examples.clients[0])\n"


@pytest.mark.parametrize(
    ("code", "unneeded"),
    [(OPEN, {"tensorflow"}), pytest.param(READ, {"tfx", "apache_beam", "tensorflow_federated"}, marks=pytest.mark.slow)],
    ids=["open", "read"],
)
def test_nothing_heavy_is_imported_that_is_not_needed(uri: str, code: str, unneeded: set[str]) -> None:
    code = f"{code.format(uri=uri)}assert not {unneeded!r} & set(sys.modules)\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1000:]


def test_blocks_are_found_by_id_inside_a_graph(examples: ClientExamples) -> None:
    clients = Clients.open(examples.uri)
    lookup = Lookup.of(clients.ids, *clients.all_blocks())
    rows = tf.function(lookup.rows)
    for client in clients.ids:
        np.testing.assert_array_equal(rows(tf.constant(client)), clients.blocks(client))
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected the id of a client"):
        rows(tf.constant("nobody"))


def test_ids_that_a_graph_could_not_tell_apart_are_refused() -> None:
    with pytest.raises(DataError, match="different"):
        Lookup.of(["ann", "ann"], np.array([0, 1, 2]), np.zeros((2, 3), np.int64))


@pytest.mark.slow
def test_tff_trains_on_client_data_that_its_worker_builds_from_ids(examples: ClientExamples, module: str) -> None:
    # In a process of its own, because TFF's models and worker would stay with the tests that follow.
    code = f"""
import tensorflow_federated as tff
from components.federated_split.reader import ClientExamples
from components.federated_trainer.executors import tff_runtime as runtime
from modeling import contract

runtime.start(intra_op_threads=1)
examples = ClientExamples.open({examples.uri!r})
data = examples.client_data(module={module!r})
for client in examples.clients:
    own = [(x.tolist(), y) for x, y in examples.client(client, module={module!r}).as_numpy_iterator()]
    assert own == [(x.tolist(), y) for x, y in data.create_tf_dataset_for_client(client).as_numpy_iterator()]
data = data.preprocess(lambda dataset: dataset.batch(8))
model = contract.load({module!r})

def model_fn():
    return tff.learning.models.from_keras_model(
        model.build_model(), loss=model.build_loss(), input_spec=data.element_type_structure
    )

process = tff.learning.algorithms.build_weighted_fed_avg(model_fn, tff.learning.optimizers.build_sgdm(0.001))
process = tff.simulation.compose_dataset_computation_with_learning_process(data.dataset_computation, process)
output = process.next(process.initialize(), [client.encode() for client in data.client_ids])
print("trained on", output.metrics["client_work"]["train"]["num_examples"])
"""
    path = [str(Path(__file__).parents[3]), *sys.path]
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}\n{code}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert "trained on 120" in done.stdout, done.stderr[-3000:]
