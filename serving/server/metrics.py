"""What is counted and timed, and the page that Prometheus reads: TensorFlow Serving's series, so that its dashboards work.

The real names hold colons and its counters no `_total`, so the page is written here and not by prometheus-client, which counts.
Unlike the real server's, a label never holds a model name that a client made up: such requests count under "".
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.metrics import MetricWrapperBase

from errors import ConfigError
from serving.server import protos

DEFAULT_PATH = "/monitoring/prometheus/metrics"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SERVING, _LOADING = ":tensorflow:serving:", ":tensorflow:cc:saved_model:"
_MICROSECONDS = [10 * 1.8**power for power in range(33)]
_EXAMPLES = [2.0**power for power in range(15)]
_MAX_PATHS = 32  # of versions; those of older ones are forgotten
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


class Metrics:
    """All series of a server. Everything may be called from any thread."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._names: Callable[[], Collection[str]] = tuple
        self._known_names: set[str] = set()
        self._series: dict[tuple[Any, ...], Any] = {}
        self._lock = threading.Lock()
        self._paths: OrderedDict[str, set[tuple[MetricWrapperBase, tuple[str, ...]]]] = OrderedDict()
        self._requests = self._counter(_SERVING + "request_count", "Requests", "model_name", "status")
        self._latency = self._microseconds(
            _SERVING + "request_latency", "of requests that were answered", "model_name", "API", "entrypoint"
        )
        self._runtime = self._microseconds(_SERVING + "runtime_latency", "in TensorFlow", "model_name", "API", "runtime")
        self._counts = self._histogram(_SERVING + "request_example_counts", "tf.Examples per request", _EXAMPLES, "model")
        self._examples = self._counter(_SERVING + "request_example_count_total", "tf.Examples", "model")
        self._warmup = self._microseconds(_SERVING + "model_warmup_latency", "of a version's warm-up", "model_path", "status")
        self._load = self._counter(_LOADING + "load_latency", "Microseconds of loading", "model_path")
        self._loads = self._counter(_LOADING + "load_attempt_count", "Loads tried", "model_path", "status")
        self._version = Gauge("fedtfx_served_version", "Version that is served", ["model_name"], registry=self._registry)
        self._queue = Gauge("fedtfx_batch_queue", "Batches that wait to be run", registry=self._registry)
        self._batches = self._histogram("fedtfx_batch_size", "Examples run together", _EXAMPLES)
        ProcessCollector(registry=self._registry)

    def follow(self, names: Callable[[], Collection[str]]) -> None:
        """Sets what tells the configured models, whose names alone become labels."""
        self._names = names

    def answered(self, model: str, api: str, entrypoint: str, code: str, seconds: float) -> None:
        """Counts a request.

        Args:
          model: the name asked for.
          api: as the real server writes it: `Predict` over gRPC, `predict` over REST.
          entrypoint: GRPC or REST.
          code: a canonical code's name; only OK is timed.
          seconds: from the whole request to the answer.
        """
        name = self._known(model)
        self._one(self._requests, name, code).inc()
        if code == "OK":
            self._one(self._latency, name, api, entrypoint).observe(seconds * 1e6)

    def ran(self, model: str, api: str, seconds: float) -> None:
        """Times TensorFlow's part of a request."""
        self._one(self._runtime, self._known(model), api, "TF1").observe(seconds * 1e6)

    def took_examples(self, model: str, count: int) -> None:
        """Counts the tf.Examples of a classify, regress or multi-inference request."""
        name = self._known(model)
        self._counts.labels(name).observe(count)
        self._examples.labels(name).inc(count)

    def loaded(self, path: Path, code: str, seconds: float) -> None:
        """Counts the attempt to load a version's directory, with the code of its failure or OK."""
        text = str(path)
        self._of_path(text, self._loads, text, "success" if code == "OK" else "fail").inc()
        self._of_path(text, self._load, text).inc(round(seconds * 1e6))

    def warmed_up(self, path: Path, code: str, seconds: float) -> None:
        """Times the warm-up of a version."""
        self._of_path(str(path), self._warmup, str(path), code).observe(seconds * 1e6)

    def serves(self, model: str, version: int | None) -> None:
        """Sets the version that answers unversioned requests; None if none does."""
        with self._lock:
            self._version.labels(model).set(version or 0)
            if version is None:
                self._version.remove(model)

    def batched(self, size: int, waiting: int) -> None:
        """Tells how many examples are run together, and how many batches are left waiting."""
        self._batches.observe(size)
        self._queue.set(waiting)

    def page(self) -> str:
        """All series in Prometheus' text format 0.0.4."""
        lines = []
        for metric in self._registry.collect():
            total = "_total" if metric.type == "counter" else ""
            name = _exact(metric.name + total)
            lines += [f"# HELP {name} {metric.documentation}", f"# TYPE {name} {metric.type}"]
            for sample in metric.samples:
                if not sample.name.endswith("_created"):
                    lines.append(f"{_exact(sample.name)}{_labels(sample.labels)} {_number(sample.value)}")
        return "\n".join(lines) + "\n"

    def values(self, names: Sequence[str]) -> dict[str, int]:
        """The sums over all labels of counters, gauges and the counts of histograms; 0 for what is not known.

        Args:
          names: as the page has them, or as TensorFlow does, with slashes.
        """
        found = dict.fromkeys(names, 0)
        asked = {name.replace("/", ":"): name for name in names}
        for metric in self._registry.collect():
            for sample in metric.samples:
                name = asked.get(_exact(sample.name)) or asked.get(_exact(sample.name).removesuffix("_count"))
                if name is not None and "le" not in sample.labels:
                    found[name] += int(sample.value)
        return found

    def _known(self, model: str) -> str:
        if model not in self._known_names:
            if model not in self._names():
                return ""
            self._known_names.add(model)
        return model

    def _one(self, metric: Any, *labels: str) -> Any:
        """`metric.labels(...)` of a series that is never removed, looked up without its lock."""
        found = self._series.get((metric, labels))
        if found is None:
            found = self._series[metric, labels] = metric.labels(*labels)
        return found

    def _of_path(self, path: str, metric: Any, *labels: str) -> Any:
        """A series about a version's directory; those of the directories that were not heard of for longest are dropped."""
        with self._lock:
            self._paths.setdefault(path, set()).add((metric, labels))
            self._paths.move_to_end(path)
            old = self._paths.popitem(last=False)[1] if len(self._paths) > _MAX_PATHS else ()
            for other, values in old:
                other.remove(*values)
            return metric.labels(*labels)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(name, what, labels, registry=self._registry)

    def _histogram(self, name: str, what: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(name, what, labels, buckets=buckets, registry=self._registry)

    def _microseconds(self, name: str, what: str, *labels: str) -> Histogram:
        return self._histogram(name, f"Microseconds {what}", _MICROSECONDS, *labels)


def path_of(monitoring_config_file: Path | None) -> str | None:
    """Where on the REST port the page is, as --monitoring_config_file tells; None for nowhere.

    Raises:
      ConfigError: the file cannot be read, or the path is not one that could be asked for.
    """
    if monitoring_config_file is None:
        return None
    given = protos.read_text(monitoring_config_file, "tensorflow.serving.MonitoringConfig", "monitoring_config_file")
    if not given.prometheus_config.enable:
        return None
    path = given.prometheus_config.path or DEFAULT_PATH
    if not path.startswith("/") or path.lower().startswith("/v1/") or not path.isascii() or set("?# %") & set(path):
        raise ConfigError(
            f"{monitoring_config_file} (--monitoring_config_file): path {path!r} cannot be asked for; expected a plain path"
            f" that starts with a slash and is not under /v1/, such as {DEFAULT_PATH}."
        )
    return str(path)


def _exact(name: str) -> str:
    """The name without the `_total` that prometheus-client gives to counters that TensorFlow calls otherwise."""
    plain = name.removesuffix("_total")
    return plain if plain.startswith(":") and not plain.endswith("request_example_count") else name


def _labels(labels: Mapping[str, str]) -> str:
    texts = {name: f"{float(text):.6g}" if name == "le" and text != "+Inf" else text for name, text in labels.items()}
    return "{" + ",".join(f'{name}="{text.translate(_ESCAPES)}"' for name, text in texts.items()) + "}" if texts else ""


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
