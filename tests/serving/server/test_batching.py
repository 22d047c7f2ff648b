import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from errors import ConfigError
from serving.server import servable as servables
from serving.server.batching import Batcher, run_together
from serving.server.batching_parameters import Parameters, chooser, read
from serving.server.execution import Alone, Engine, Held, Pool
from serving.server.flags import parse
from serving.server.servable import Servable
from serving.server.status import ApiError

SHORT = Parameters(max_batch_size=4, num_batch_threads=1, max_enqueued_batches=3)


class Rows(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32, "x"), tf.TensorSpec([None], tf.string, "name")])
    def rows(self, x, name):
        with tf.control_dependencies([tf.debugging.assert_non_negative(x, "below zero")]):
            return {"sum": tf.reduce_sum(x, axis=1), "name": tf.strings.join([name, "!"]), "x": x}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def total(self, x):
        return {"total": tf.reduce_sum(x)}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32, "x")])
    def hidden_total(self, x):
        return {"total": tf.ensure_shape(tf.reshape(tf.reduce_sum(x), tf.stack([1])), [None])}


@pytest.fixture(scope="module")
def servable(tmp_path_factory: pytest.TempPathFactory) -> Servable:
    path = tmp_path_factory.mktemp("rows") / "1"
    model = Rows()
    signatures = {"rows": model.rows, "total": model.total, "hidden_total": model.hidden_total}
    tf.saved_model.save(model, str(path), signatures=signatures)
    return servables.load(path, 1)


class Loop(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, "turns")])
    def __call__(self, turns):
        _, done = tf.while_loop(lambda left, _: left > 0, lambda left, sum_: (left - 1, sum_ + 1), (turns[0], 0))
        return {"done": tf.ensure_shape(tf.reshape(done, tf.stack([1])), [None])}


@pytest.fixture(scope="module")
def long_runner(tmp_path_factory: pytest.TempPathFactory) -> Servable:
    path = tmp_path_factory.mktemp("long") / "1"
    model = Loop()
    tf.saved_model.save(model, str(path), signatures=model.__call__.get_concrete_function())
    return servables.load(path, 1)


def request(*rows: list[float], name: str = "a") -> dict[str, np.ndarray]:
    return {"x": np.array(rows, np.float32), "name": np.array([name.encode()] * len(rows), object)}


def run(servable: Servable, parameters: Parameters, work: Callable[..., Coroutine[Any, Any, Any]]) -> tuple[Any, list[int]]:
    """What `work` returns, given a function that asks for a signature's outputs, and the rows of the batches that were run."""
    sizes: list[int] = []

    async def main() -> Any:
        batcher = Batcher(parameters.num_batch_threads, lambda _: parameters, Alone(1), lambda rows, _: sizes.append(rows))
        engine = Engine(batcher)
        with Held(nullcontext(servable)) as held:
            return await work(lambda inputs, name="rows", only=(): engine.predict(held, servable.signature(name), inputs, only))

    return asyncio.run(main()), sizes


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.floats(0, 1000, width=32), min_size=1, max_size=5), min_size=1, max_size=8),
    st.sampled_from([(), (8, 40), (3, 4)]),
)
def test_each_request_of_a_batch_gets_its_own_rows(servable: Servable, requests: list[list[float]], allowed) -> None:
    limit = allowed[-1] if allowed else 7
    parameters = Parameters(40, allowed_batch_sizes=allowed, enable_large_batch_splitting=True, max_execution_batch_size=limit)
    asked = [request(*[[value, 1] for value in values], name=str(number)) for number, values in enumerate(requests)]
    outcomes = run_together(servable, servable.signature("rows"), asked, (), parameters)
    for number, (inputs, (outputs, error)) in enumerate(zip(asked, outcomes, strict=True)):
        assert error is None
        np.testing.assert_array_equal(outputs["x"], inputs["x"])
        np.testing.assert_array_equal(outputs["sum"], inputs["x"].sum(axis=1))
        assert outputs["name"].tolist() == [f"{number}!".encode()] * len(inputs["x"])


def test_requests_at_once_are_run_together_and_only_with_their_like(servable: Servable) -> None:
    async def work(ask):
        narrow = [ask(request([float(number)])) for number in range(3)]
        wide = [ask(request([float(number), 1.0]), only=["sum"]) for number in range(2)]
        return await asyncio.gather(*narrow, *wide)

    answers, sizes = run(servable, Parameters(), work)
    assert [answer["sum"].tolist() for answer in answers] == [[0], [1], [2], [1], [2]]
    assert [sorted(answer) for answer in answers[2:4]] == [["name", "sum", "x"], ["sum"]]
    assert sorted(sizes) == [2, 3]


def test_a_request_that_fails_fails_alone(servable: Servable) -> None:
    async def work(ask):
        return await asyncio.gather(*[ask(request([value])) for value in (1.0, -1.0, 2.0)], return_exceptions=True)

    (first, poisoned, last), sizes = run(servable, Parameters(), work)
    assert (first["sum"].tolist(), last["sum"].tolist()) == ([1], [2])
    assert isinstance(poisoned, ApiError)
    assert (poisoned.code, "below zero" in poisoned.message) == ("INVALID_ARGUMENT", True)
    assert sizes == [3]


def test_a_full_queue_is_unavailable_until_there_is_room(servable: Servable) -> None:
    async def work(ask):
        tasks = [asyncio.ensure_future(ask(request([1.0], [2.0], [3.0]))) for _ in range(5)]
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        return [*answers, await ask(request([1.0]))]

    answers, sizes = run(servable, SHORT, work)
    assert [getattr(answer, "code", "OK") for answer in answers] == ["OK"] * 3 + ["UNAVAILABLE"] * 2 + ["OK"]
    assert sizes == [3, 3, 3, 1]


def test_what_nobody_waits_for_any_more_is_not_run_and_takes_no_room(servable: Servable) -> None:
    async def work(ask):
        gone = [asyncio.ensure_future(ask(request([1.0], [2.0], [3.0]))) for _ in range(3)]
        await asyncio.sleep(0)
        for task in gone:
            task.cancel()
        await asyncio.wait(gone)
        return await ask(request([4.0]))

    answer, sizes = run(servable, SHORT, work)
    assert answer["sum"].tolist() == [4]
    assert sizes in ([1], [3, 1])  # the first may have been begun before its client went


def test_a_request_larger_than_a_batch_is_refused_or_split(servable: Servable) -> None:
    large = request(*[[float(number)] for number in range(10)])

    async def work(ask):
        return await ask(large)

    with pytest.raises(ApiError, match="Task size 10 is larger than maximum input batch size 4; send at most 4"):
        run(servable, SHORT, work)
    split = Parameters(max_batch_size=10, enable_large_batch_splitting=True, max_execution_batch_size=4)
    assert run(servable, split, work)[0]["sum"].tolist() == list(range(10))


def test_inputs_of_different_length_are_padded_if_that_is_asked_for(servable: Servable) -> None:
    async def work(ask):
        return await asyncio.gather(ask(request([1.0, 2.0, 3.0])), ask(request([4.0])))

    (long, short), sizes = run(servable, Parameters(pad_variable_length_inputs=True), work)
    assert (long["sum"].tolist(), short["sum"].tolist()) == ([6], [4])
    assert short["x"].tolist() == [[4, 0, 0]]
    assert sizes == [2]


def test_one_long_row_does_not_make_all_others_long(servable: Servable) -> None:
    asked = [request([1.0] * 500_000), *[request([float(number)]) for number in range(100)]]
    parameters = Parameters(pad_variable_length_inputs=True)
    outcomes = run_together(servable, servable.signature("rows"), asked, (), parameters)
    assert [error for _, error in outcomes] == [None] * 101
    assert {outputs["x"].shape for outputs, _ in outcomes[1:]} == {(1, 1)}


def test_a_body_that_nobody_waits_for_any_more_is_not_read_and_too_many_are_refused() -> None:
    held, read = threading.Event(), []

    async def work() -> list[str]:
        pool = Pool(1, "test", max_waiting=2)
        first = asyncio.ensure_future(pool.run(held.wait, 20))
        gone, last = [asyncio.ensure_future(pool.run(read.append, name)) for name in ("gone", "last")]
        await asyncio.sleep(0)
        with pytest.raises(ApiError) as refused:
            await pool.run(read.append, "refused")
        gone.cancel()
        await asyncio.wait([gone])
        held.set()
        await asyncio.gather(first, last)
        await pool.run(read.append, "next")
        return [refused.value.code, *read]

    assert asyncio.run(work()) == ["UNAVAILABLE", "last", "next"]


@pytest.mark.parametrize("signature", ["total", "hidden_total"])
def test_a_model_whose_answer_is_not_by_rows_is_asked_for_each_request(servable: Servable, signature: str) -> None:
    async def work(ask):
        vectors = [{"x": np.array(values, np.float32)} for values in ([1, 2], [3, 4])]
        return await asyncio.gather(*[ask(vector, signature) for vector in vectors])

    answers, _ = run(servable, Parameters(), work)
    assert [float(answer["total"].reshape(())) for answer in answers] == [3, 7]


def test_a_scalar_or_rows_that_differ_are_run_alone(servable: Servable) -> None:
    async def work(ask):
        uneven = {**request([1.0], [2.0]), "name": np.array([b"a"], object)}
        scalar = ask({"x": np.array(5, np.float32)}, "hidden_total")
        return await asyncio.gather(scalar, ask(uneven), ask(request([1.0])), return_exceptions=True)

    (scalar, uneven, good), sizes = run(servable, Parameters(), work)
    assert scalar["total"].tolist() == [5]
    assert uneven["sum"].tolist() == [1, 2]
    assert good["sum"].tolist() == [1]
    assert sizes == [1]


def test_without_batching_requests_beyond_the_room_are_unavailable(servable: Servable) -> None:
    async def main():
        engine = Engine(Alone(1, max_waiting=1))
        with Held(nullcontext(servable)) as held:
            asked = [engine.predict(held, servable.signature("rows"), request([1.0])) for _ in range(4)]
            return await asyncio.gather(*asked, return_exceptions=True)

    assert [getattr(answer, "code", "OK") for answer in asyncio.run(main())] == ["OK", "OK", "UNAVAILABLE", "UNAVAILABLE"]


class Lease:
    """A lease of which can be seen whether it is held."""

    def __init__(self, servable: Servable) -> None:
        self.servable = servable
        self.ended = threading.Event()

    def __enter__(self) -> Servable:
        return self.servable

    def __exit__(self, *_: object) -> None:
        self.ended.set()


@pytest.mark.parametrize("batching", [False, True])
def test_a_version_is_held_until_the_work_is_done_although_its_client_has_gone(long_runner: Servable, batching: bool) -> None:
    lease, signature = Lease(long_runner), long_runner.signature("serving_default")

    async def client(engine: Engine, turns: int) -> None:
        with Held(lease) as held:
            await engine.predict(held, signature, {"turns": np.array([turns], np.int32)})

    async def main() -> tuple[bool, bool]:
        alone = Alone(1)
        engine = Engine(Batcher(1, lambda _: Parameters(), alone) if batching else alone)
        asking = asyncio.ensure_future(client(engine, 200_000))
        await asyncio.sleep(0.02)  # so that its thread is at it
        asking.cancel()
        await asyncio.wait([asking])
        held_after_leaving = not lease.ended.is_set()
        await asyncio.to_thread(lease.ended.wait, 20)
        return held_after_leaving, lease.ended.is_set()

    assert asyncio.run(main()) == (True, True)


def test_the_parameters_are_a_text_proto_with_wrapped_values() -> None:
    text = """max_batch_size { value: 128 } batch_timeout_micros { value: 5 } max_enqueued_batches { value: 7 }
        num_batch_threads { value: 3 } thread_pool_name { value: "batch" } allowed_batch_sizes: 8 allowed_batch_sizes: 32
        pad_variable_length_inputs: true enable_large_batch_splitting { value: true } max_execution_batch_size { value: 32 }"""
    assert read(text) == Parameters(128, 5, 7, 3, (8, 32), True, True, 32)
    assert read("") == Parameters()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_batch_size: 3", r"write max_batch_size \{ value: 3 \}$"),
        ("max_batch_size { value: a }", "integer: a$"),
        ("no_such_field: 3", "no field named"),
        ("max_batch_size { value: 0 }", "max_batch_size is 0; expected at least 1"),
        ("batch_timeout_micros { value: -1 }", "expected at least 0"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: 4", "must rise and end with max_batch_size"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: [4, 4, 8]", "must rise"),
        ("max_execution_batch_size { value: 8 }", "needs enable_large_batch_splitting"),
    ],
)
def test_parameters_that_do_not_go_together_are_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        read(text)
    assert "\n" not in str(caught.value)


def test_a_wrong_file_is_told_with_its_flag_and_a_remedy(tmp_path: Path) -> None:
    flags = parse(["--model_base_path=/m", "--enable_batching", f"--batching_parameters_file={tmp_path / 'none'}"])
    with pytest.raises(ConfigError, match=r"\(--batching_parameters_file\): No such file or directory; .* leave .* out\.$"):
        chooser(flags)
    (tmp_path / "none").write_text("no_such_field: 1")
    with pytest.raises(ConfigError, match=r"\(--batching_parameters_file\): .*no_such_field\"\.$"):
        chooser(flags)


def test_without_a_file_a_request_of_any_number_of_rows_is_taken(servable: Servable) -> None:
    _, parameters = chooser(parse(["--model_base_path=/m", "--enable_batching"]))
    assert parameters(servable).max_batch_size > 1 << 24
    assert parameters(servable).execution_limit == 1000


def test_a_closed_version_is_unavailable_and_says_nothing_of_the_server(servable: Servable) -> None:
    other = servables.load(servable.path, 2)
    other.close()
    with pytest.raises(ApiError) as caught:
        other.predict(other.signature("total"), {"x": np.ones(1, np.float32)})
    assert caught.value.code == "UNAVAILABLE"
    assert str(Path(servable.path)) not in caught.value.message
