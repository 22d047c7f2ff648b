"""Runs the division of one split: two Beam pipelines with the plan between them, then the index and partition.json."""

from __future__ import annotations

import logging
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam

from components.federated_split import blocks, stages, summary
from components.federated_split.checks import checked_examples
from components.federated_split.partitioners import PARTITIONERS
from components.federated_split.plan import Plan, make_plan, save_bases, save_plan, sum_strata
from components.federated_split.spills import Manifest, Segment, load_manifest, manifest_partitions, save_manifest
from errors import IntegrityError

SPLIT = "train"
# Bytes of (compressed) input per digest range: a range is sorted in memory.
_PARTITION_BYTES = 2 << 20
_MAX_PARTITIONS = 4096

MakePipeline = Callable[[], beam.Pipeline]


@dataclass(frozen=True)
class Request:
    """What to do; `parameters` as checked by `check_parameters`."""

    strategy: str
    parameters: dict[str, Any]
    seed: int

    @property
    def stratum(self) -> str | None:
        """Returns the feature that makes the strata, if the strategy uses one."""
        return self.parameters.get(PARTITIONERS[self.strategy].strata)


def divide(files: Sequence[str], uri: str, request: Request, make_pipeline: MakePipeline) -> dict[str, Any]:
    """Divides the records of `files` among clients and writes the artifact's content into `uri`.

    Args:
      files: TFRecord files of serialized tf.Examples.
      uri: the artifact's directory, reachable by all workers; temporary files lie there meanwhile, about twice as
        large as the records.
      request: strategy, parameters, seed.
      make_pipeline: makes a Beam pipeline; it is called twice.

    Returns:
      What was written to partition.json.

    Raises:
      DataError: the data cannot be divided as requested; nothing is left in `uri`.
    """
    with _work_folder(uri) as folder:
        manifests = _read(make_pipeline, files, folder, request)
        examples = checked_examples(manifests, SPLIT, request.stratum, PARTITIONERS[request.strategy].strata)
        plan = _plan(folder, manifests, request)
        partition = _write(make_pipeline, manifests, folder, plan, request)
        if partition["num_examples"] != examples:
            raise IntegrityError(
                f"expected {examples} divided examples, wrote {partition['num_examples']}; run FederatedSplit again."
            )
        _publish(_output(folder), Path(uri))
    logging.info("FederatedSplit: %s, %d examples, %d clients", request.strategy, examples, len(plan.clients))
    return partition


@contextmanager
def _work_folder(uri: str) -> Iterator[str]:
    """Makes a folder inside `uri` for everything unfinished, and removes it however the division ends."""
    for stale in Path(uri).glob(".work-*"):  # Of an attempt that was killed.
        shutil.rmtree(stale)
    work = Path(uri, f".work-{uuid.uuid4().hex}")
    work.mkdir(parents=True)
    try:
        yield str(work)
    finally:
        shutil.rmtree(work)


def _publish(output: Path, uri: Path) -> None:
    """Moves the finished artifact into place, partition.json last: without it no reader opens the rest."""
    target = blocks.split_folder(str(uri), SPLIT)
    shutil.rmtree(target, ignore_errors=True)
    blocks.split_folder(str(output), SPLIT).rename(target)
    (output / blocks.PARTITION_FILE).replace(uri / blocks.PARTITION_FILE)


def _read(make_pipeline: MakePipeline, files: Sequence[str], folder: str, request: Request) -> list[Manifest]:
    partitions = min(_MAX_PARTITIONS, 1 + sum(Path(file).stat().st_size for file in files) // _PARTITION_BYTES)
    reading = stages.Reading(folder, request.seed, partitions, request.stratum, request.parameters.get("label"))
    with make_pipeline() as pipeline:
        _ = (
            pipeline
            | "Files" >> beam.Create(sorted(files))
            | "SpreadFiles" >> beam.Reshuffle()
            | "ReadAndSpill" >> beam.FlatMap(stages.read_and_spill, reading)
            | "ByPartition" >> beam.GroupByKey()
            | "Manifests" >> beam.Map(_write_manifest, folder)
        )
    return [load_manifest(folder, partition) for partition in manifest_partitions(folder)]


def _write_manifest(grouped: tuple[int, Iterable[Segment]], folder: str) -> None:
    partition, segments = grouped
    save_manifest(folder, Manifest.of(partition, list(segments)))


def _plan(folder: str, manifests: Sequence[Manifest], request: Request) -> Plan:
    totals = sum_strata(manifests)
    record_bytes = sum(manifest.record_bytes for manifest in manifests)
    plan = make_plan(totals, record_bytes, request.strategy, request.parameters, request.seed)
    save_plan(folder, plan)
    save_bases(folder, manifests, totals)
    return plan


def _write(
    make_pipeline: MakePipeline, manifests: Sequence[Manifest], folder: str, plan: Plan, request: Request
) -> dict[str, Any]:
    split_folder = blocks.split_folder(str(_output(folder)), SPLIT)
    split_folder.mkdir(parents=True)
    with make_pipeline() as pipeline:
        _ = (
            pipeline
            | "Partitions" >> beam.Create([manifest.partition for manifest in manifests if manifest.examples])
            | "SpreadPartitions" >> beam.Reshuffle()
            | "Place" >> beam.FlatMap(stages.place, folder)
            | "ByShard" >> beam.GroupByKey()
            | "Assemble" >> beam.Map(stages.assemble, folder, str(split_folder), request.parameters["block_bytes"])
        )
    index = summary.write_index(folder, split_folder, plan)
    return summary.write_partition(str(_output(folder)), SPLIT, index, plan, asdict(request))


def _output(folder: str) -> Path:
    return Path(folder, "artifact")
