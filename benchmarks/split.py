"""FederatedSplit beside the stock ImportExampleGen: the same files, the same runner, the same workers, in one run.

    python benchmarks/split.py                                  # 60 thousand, 600 thousand and 6 million examples
    python benchmarks/split.py --sizes 60000 --clients 100      # a quick one

Each case runs in a process of its own, which reports the seconds of the executor's Do (without imports), and its peak memory,
most of which are the imports of TFX.
The examples are MNIST's digits as PNG (FEDTFX_TEST_DATA names the folder that holds mnist/; without it, scikit-learn's digits),
repeated, each with an `id` of its own, in gzipped TFRecord files.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

SPLIT, IMPORT = "FederatedSplit", "ImportExampleGen"
_EXAMPLES_PER_FILE = 100_000


def main() -> int:
    """Makes the input, runs every case, prints the table."""
    options = _parser().parse_args()
    if options.case:
        print(json.dumps(_run_case(**json.loads(options.case))))
        return 0
    with tempfile.TemporaryDirectory(prefix="split-", dir=options.folder) as work:
        rows = []
        for size in options.sizes:
            folder = _write_input(Path(work, f"input-{size}"), size)
            rows += _measure(folder, size, options)
            shutil.rmtree(folder)
        _print(rows)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[60_000, 600_000, 6_000_000], help="numbers of examples")
    parser.add_argument("--clients", type=int, nargs="+", default=[100, 1_000_000], help="numbers of clients, where they fit")
    parser.add_argument("--strategy", default="dirichlet", help="of cases with fewer than 1,000 clients; others are iid")
    parser.add_argument("--workers", type=int, default=1, help="1: the direct runner in memory; more: in so many processes")
    parser.add_argument("--repeat", type=int, default=1, help="times every case is run, in turn; the fastest is shown")
    parser.add_argument("--holdout", type=float, default=0.0, help="fraction that is kept for evaluation")
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="where all files go; they are removed again")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    return parser


def _measure(folder: Path, size: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Runs the cases of one size in turn and returns the fastest run of each."""
    cases: list[dict[str, Any]] = [{"what": IMPORT}]
    for clients in (clients for clients in options.clients if clients <= size):
        strategy = options.strategy if clients < 1000 else "iid"
        parameters = {"clients": clients, "label": "label", "holdout": options.holdout or None}
        if strategy == "dirichlet":
            parameters["alpha"] = 0.5
        cases.append({"what": SPLIT, "strategy": strategy, "parameters": parameters})
    best: list[dict[str, Any]] = [{} for _ in cases]
    for _ in range(options.repeat):
        for number, case in enumerate(cases):
            result = _in_own_process({**case, "folder": str(folder), "workers": options.workers})
            if not best[number] or result["seconds"] < best[number]["seconds"]:
                best[number] = {**case, "size": size, **result}
            print(json.dumps({**case, "size": size, **result}), file=sys.stderr, flush=True)
    return best


def _in_own_process(case: dict[str, Any]) -> dict[str, Any]:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, __file__, "--case", json.dumps(case)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _run_case(
    what: str, folder: str, workers: int, strategy: str = "", parameters: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Runs one executor and returns its seconds and the peak memory of this process (or of its largest worker) in bytes."""
    beam_args = [] if workers == 1 else ["--direct_running_mode=multi_processing", f"--direct_num_workers={workers}"]
    with tempfile.TemporaryDirectory(prefix="out-", dir=Path(folder).parent) as out:
        do = _import(folder, out, beam_args) if what == IMPORT else _split(folder, out, beam_args, strategy, parameters or {})
        base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start, cpu = time.perf_counter(), _cpu_seconds()
        do()
        seconds, cpu = time.perf_counter() - start, _cpu_seconds() - cpu
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {"seconds": round(seconds, 2), "cpu": round(cpu, 2), "peak": peak << 10, "grown": (peak - base) << 10}


def _cpu_seconds() -> float:
    """Of this process and its ended children: less disturbed than the clock by what else runs on the machine."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _import(folder: str, out: str, beam_args: list[str]) -> Any:
    from google.protobuf import json_format
    from tfx.components.example_gen.import_example_gen.executor import Executor
    from tfx.proto import example_gen_pb2
    from tfx.types import standard_artifacts

    config = example_gen_pb2.Input(splits=[example_gen_pb2.Input.Split(name="train", pattern="*.gz")])
    examples = standard_artifacts.Examples()
    examples.uri = out
    properties = {
        "input_base": str(Path(folder, "Split-train")),
        "input_config": json_format.MessageToJson(config),
        "output_config": json_format.MessageToJson(example_gen_pb2.Output()),
        "output_data_format": example_gen_pb2.PayloadFormat.FORMAT_TF_EXAMPLE,
        "output_file_format": example_gen_pb2.FileFormat.FILE_FORMAT_UNSPECIFIED,
    }
    executor = Executor(Executor.Context(beam_pipeline_args=beam_args))
    return lambda: executor.Do({}, {"examples": [examples]}, properties)


def _split(folder: str, out: str, beam_args: list[str], strategy: str, parameters: dict[str, Any]) -> Any:
    from tfx.types import standard_artifacts

    from components import FederatedExamples
    from components.federated_split.executor import Executor
    from lineage.digests import tree_digest

    examples, federated = standard_artifacts.Examples(), FederatedExamples()
    examples.uri, federated.uri = folder, out
    examples.split_names = '["train"]'
    examples.set_string_custom_property("digest", tree_digest(folder))  # As our ExampleGens do; it is checked.
    properties = {"strategy": strategy, "parameters": json.dumps(parameters), "seed": 42, "code_version": ""}
    executor = Executor(Executor.Context(beam_pipeline_args=beam_args))
    return lambda: executor.Do({"examples": [examples]}, {"federated_examples": [federated]}, properties)


def _write_input(folder: Path, size: int) -> Path:
    """Writes `size` examples into gzipped TFRecord files, two files at a time."""
    (folder / "Split-train").mkdir(parents=True)
    starts = range(0, size, _EXAMPLES_PER_FILE)
    paths = [folder / "Split-train" / f"data_tfrecord-{n:05d}-of-{len(starts):05d}.gz" for n in range(len(starts))]
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(_write_file, paths, starts, [min(size, start + _EXAMPLES_PER_FILE) for start in starts]))
    return folder


def _write_file(path: Path, first: int, last: int) -> None:
    import tensorflow as tf

    images = _images()
    options = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=1)
    with tf.io.TFRecordWriter(str(path), options) as writer:
        for number in range(first, last):
            png, label = images[number % len(images)]
            feature = {
                "id": tf.train.Feature(int64_list=tf.train.Int64List(value=[number])),
                "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[png])),
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString(deterministic=True))


@functools.cache
def _images() -> list[tuple[bytes, int]]:
    """Returns real digits as PNG, and their labels."""
    from components.example_gens.png import encode_grey

    mnist = Path(os.environ.get("FEDTFX_TEST_DATA", ROOT.parent / "shared" / "data"), "mnist")
    if mnist.is_dir():
        with gzip.open(mnist / "train-images-idx3-ubyte.gz") as file:
            pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
        with gzip.open(mnist / "train-labels-idx1-ubyte.gz") as file:
            labels = np.frombuffer(file.read(), np.uint8, offset=8)
    else:
        from sklearn.datasets import load_digits

        digits = load_digits()
        pixels, labels = (digits.images * 15).astype(np.uint8), digits.target
    return list(zip(map(encode_grey, pixels), labels.tolist(), strict=True))


def _print(rows: list[dict[str, Any]]) -> None:
    print("| examples | step | clients | seconds | CPU seconds | examples/s | of the stock time | peak MiB | above start |")
    print("|---:|---|---:|---:|---:|---:|---:|---:|---:|")
    for row in rows:
        stock = next(r["seconds"] for r in rows if r["what"] == IMPORT and r["size"] == row["size"])
        clients = row["parameters"]["clients"] if row["what"] == SPLIT else 0
        step = f"{row['what']}, {row['strategy']}" if clients else row["what"]
        cells = [f"{row['size']:,}", step, f"{clients:,}" if clients else "", f"{row['seconds']:.1f}", f"{row['cpu']:.1f}"]
        cells += [f"{row['size'] / row['seconds']:,.0f}", f"{row['seconds'] / stock:.2f}"]
        cells += [f"{row['peak'] >> 20:,}", f"{row['grown'] >> 20:,}"]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    sys.exit(main())
