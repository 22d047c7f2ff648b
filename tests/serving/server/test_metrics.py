import threading
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from errors import ConfigError
from serving.server.metrics import DEFAULT_PATH, Metrics, path_of

LATENCY = ":tensorflow:serving:request_latency"


@pytest.fixture
def metrics() -> Metrics:
    made = Metrics()
    made.follow(lambda: ["fish"])
    return made


def samples(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    """(name, label values) -> value of every sample, as Prometheus' own parser reads the page."""
    page = metrics.page()

    def on_page(name: str) -> str:  # the parser gives every counter a `_total`
        plain = name.removesuffix("_total")
        return plain if f"\n{plain}{{" in page else name

    families = text_string_to_metric_families(page)
    return {(on_page(one.name), tuple(one.labels.values())): one.value for family in families for one in family.samples}


def types(metrics: Metrics) -> dict[str, str]:
    lines = [line.split() for line in metrics.page().splitlines() if line.startswith("# TYPE ")]
    return {name: kind for _, _, name, kind in lines}


def test_the_series_have_the_real_servers_names_types_and_labels(metrics) -> None:
    metrics.answered("fish", "Predict", "GRPC", "OK", 0.001)
    metrics.answered("fish", "predict", "REST", "INVALID_ARGUMENT", 0.001)
    metrics.ran("fish", "Predict", 0.001)
    metrics.took_examples("fish", 3)
    metrics.loaded(Path("/m/7"), "OK", 0.25)
    metrics.loaded(Path("/m/8"), "DATA_LOSS", 0.25)
    metrics.warmed_up(Path("/m/7"), "OK", 0.25)
    found = samples(metrics)
    assert found[":tensorflow:serving:request_count", ("fish", "OK")] == 1
    assert found[":tensorflow:serving:request_count", ("fish", "INVALID_ARGUMENT")] == 1
    assert found[LATENCY + "_count", ("fish", "Predict", "GRPC")] == 1
    assert found[LATENCY + "_sum", ("fish", "Predict", "GRPC")] == 1000
    assert found[":tensorflow:serving:runtime_latency_count", ("fish", "Predict", "TF1")] == 1
    assert found[":tensorflow:serving:request_example_counts_sum", ("fish",)] == 3
    assert found[":tensorflow:serving:request_example_count_total", ("fish",)] == 3
    assert found[":tensorflow:cc:saved_model:load_attempt_count", ("/m/7", "success")] == 1
    assert found[":tensorflow:cc:saved_model:load_attempt_count", ("/m/8", "fail")] == 1
    assert found[":tensorflow:cc:saved_model:load_latency", ("/m/7",)] == 250_000
    assert found[":tensorflow:serving:model_warmup_latency_count", ("/m/7", "OK")] == 1
    assert types(metrics)[":tensorflow:serving:request_count"] == "counter"
    assert types(metrics)[":tensorflow:serving:request_example_count_total"] == "counter"
    assert types(metrics)[LATENCY] == "histogram"
    assert not any("_created" in name or name.endswith("request_count_total") for name, _ in found)


def test_only_what_was_answered_is_timed_and_in_33_buckets_and_one_more(metrics) -> None:
    metrics.answered("fish", "Predict", "GRPC", "UNAVAILABLE", 1)
    assert not any(name.startswith(LATENCY) for name, _ in samples(metrics))
    metrics.answered("fish", "Predict", "GRPC", "OK", 15e-6)
    buckets = {labels[-1]: value for (name, labels), value in samples(metrics).items() if name == LATENCY + "_bucket"}
    assert len(buckets) == 34
    assert list(buckets.items())[:4] == [("10", 0), ("18", 1), ("32.4", 1), ("58.32", 1)]
    assert list(buckets)[-2:] == [f"{10 * 1.8**32:.6g}", "+Inf"]


def test_a_made_up_model_name_is_no_label(metrics) -> None:
    for number in range(100):
        metrics.answered(f"made-up-{number}", "Predict", "GRPC", "NOT_FOUND", 0.001)
        metrics.took_examples(f"made-up-{number}", 1)
    assert samples(metrics)[":tensorflow:serving:request_count", ("", "NOT_FOUND")] == 100
    assert "made-up" not in metrics.page()


def test_what_a_label_holds_is_escaped() -> None:
    name = 'a"b\\c\nd'
    metrics = Metrics()
    metrics.follow(lambda: [name])
    metrics.answered(name, "Predict", "GRPC", "OK", 1)
    assert samples(metrics)[":tensorflow:serving:request_count", (name, "OK")] == 1


def test_versions_that_were_swapped_out_long_ago_leave_the_page(metrics) -> None:
    for version in range(100):
        metrics.loaded(Path(f"/m/{version}"), "OK", 0.1)
        metrics.warmed_up(Path(f"/m/{version}"), "OK", 0.1)
    assert metrics.page().count("model_warmup_latency_count") == metrics.page().count("load_latency{") == 32
    assert 'model_path="/m/99"' in metrics.page()
    assert 'model_path="/m/67"' not in metrics.page()


def test_the_served_version_follows_the_swaps(metrics) -> None:
    metrics.serves("fish", 7)
    metrics.serves("fish", 8)
    assert samples(metrics)["fedtfx_served_version", ("fish",)] == 8
    metrics.serves("fish", None)
    assert ("fedtfx_served_version", ("fish",)) not in samples(metrics)


def test_batches_and_the_process_have_series_too(metrics) -> None:
    metrics.batched(5, 2)
    found = samples(metrics)
    assert found["fedtfx_batch_size_sum", ()] == 5
    assert found["fedtfx_batch_queue", ()] == 2
    assert found["process_resident_memory_bytes", ()] > 2**20


def test_values_sum_over_labels_under_either_form_of_a_name(metrics) -> None:
    metrics.answered("fish", "Predict", "GRPC", "OK", 1)
    metrics.answered("fish", "Predict", "GRPC", "INTERNAL", 1)
    metrics.took_examples("fish", 4)
    names = ["/tensorflow/serving/request_count", LATENCY, ":tensorflow:serving:request_example_count_total", "/no/such"]
    assert metrics.values(names) == dict(zip(names, (2, 1, 4, 0), strict=True))
    assert metrics.values([]) == {}


def test_nothing_is_lost_when_many_threads_count(metrics) -> None:
    def count() -> None:
        for number in range(500):
            metrics.answered("fish", "Predict", "GRPC", "OK", 1)
            metrics.loaded(Path(f"/m/{number % 50}"), "OK", 0.1)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert samples(metrics)[":tensorflow:serving:request_count", ("fish", "OK")] == 2000
    assert metrics.page().count("load_latency{") == 32


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", None),
        ("prometheus_config { path: '/m' }", None),
        ("prometheus_config { enable: true }", DEFAULT_PATH),
        ("prometheus_config: { enable: true, path: '/metrics' }", "/metrics"),
    ],
)
def test_the_config_file_tells_where_the_page_is(text: str, path: str | None, tmp_path: Path) -> None:
    file = tmp_path / "monitoring.config"
    file.write_text(text)
    assert path_of(file) == path


def test_without_a_config_file_there_is_no_page() -> None:
    assert path_of(None) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot read"),
        (b"\xff", "is not text"),
        (b"prometheus_config {\n  enabled: true }", "is wrong at line 2, column 3"),
        (b"prometheus_config { enable: true path: 'metrics' }", "cannot be asked for"),
        (b"prometheus_config { enable: true path: '/V1/models/m' }", "cannot be asked for"),
        (b"prometheus_config { enable: true path: '/a?b' }", "cannot be asked for"),
    ],
)
def test_a_broken_config_file_is_refused_in_one_line(text: bytes | None, said: str, tmp_path: Path) -> None:
    file = tmp_path / "monitoring.config"
    if text is not None:
        file.write_bytes(text)
    with pytest.raises(ConfigError, match=said) as caught:
        path_of(file)
    assert "--monitoring_config_file" in str(caught.value)
    assert "\n" not in str(caught.value)
