"""Runs a division: two Beam pipelines with the plan between them, a third that checks the sides, then the description."""

from __future__ import annotations

import logging
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam

from components.beam_errors import cause_of
from components.beam_workers import same_imports
from components.federated_split import assembling, blocks, disk, leakage, manifests, placing, ranking, reading, summary
from components.federated_split.checks import checked_examples, warn_of_labels
from components.federated_split.indexing import write_index
from components.federated_split.manifests import Manifest
from components.federated_split.partitioners import PARTITIONERS
from components.federated_split.plan import Plan, make_plan, save_bases, save_plan, sum_strata
from components.federated_split.records import unzipped_size
from components.federated_split.sides import EVAL, TRAIN, sides_of
from errors import DataError, IntegrityError
from lineage.forgotten import Omission

SPLIT = "train"
"""The split of the Examples that is divided."""
FORGOTTEN = "forgotten"
"""The key of partition.json that says how many clients the division was told to leave out."""
# Bytes of input per digest range: a range is sorted in memory.
_PARTITION_BYTES = 16 << 20
_MAX_PARTITIONS = 4096

MakePipeline = Callable[[], beam.Pipeline]


@dataclass(frozen=True)
class Request:
    """What to do; `parameters` as checked by `check_parameters`, `omission`: whom to leave out."""

    strategy: str
    parameters: dict[str, Any]
    seed: int
    omission: Omission | None = None

    @property
    def stratum(self) -> str | None:
        """Returns the feature that makes the strata, if the strategy uses one."""
        return self.parameters.get(PARTITIONERS[self.strategy].strata)

    @property
    def numeric(self) -> bool:
        """Returns whether that feature is a number to sort by."""
        return PARTITIONERS[self.strategy].numeric

    def facts(self) -> dict[str, Any]:
        """Returns what partition.json says of it."""
        asked = {"strategy": self.strategy, "parameters": self.parameters, "seed": self.seed}
        return asked if self.omission is None else {**asked, FORGOTTEN: self.omission.count}


def divide(files: Sequence[str], uri: str, request: Request, make_pipeline: MakePipeline) -> dict[str, Any]:
    """Divides the records of `files` among clients and writes the artifact's content into `uri`.

    Args:
      files: TFRecord files of serialized tf.Examples.
      uri: the artifact's directory, on a file system that all workers share; temporary files lie there meanwhile, about twice
        as large as the records, beside the artifact itself.
      request: strategy, parameters, seed, whom to leave out.
      make_pipeline: makes a Beam pipeline; it is called twice, or three times if there are two sides.

    Returns:
      What was written to partition.json.

    Raises:
      DataError: the data cannot be divided as requested; nothing is left in `uri`, here and below.
      IntegrityError: what was written is not what it should be, or the list of whom to leave out is another.
      FedtfxError: the disk is full.
    """
    with same_imports(), _own_errors(), disk.full_disk_is_one_line(uri), _work_folder(uri) as folder:
        read = _read(make_pipeline, files, folder, request)
        examples = checked_examples(read, SPLIT, request.stratum, PARTITIONERS[request.strategy].strata)
        warn_of_labels(read, examples, request.parameters.get("label"))
        if request.numeric:
            read = _rank(make_pipeline, read, folder, request)
        plan = _plan(folder, read, request)
        disk.check_free(folder, 2 * sum(manifest.record_bytes for manifest in read))
        sides = _write(make_pipeline, read, folder, plan, request)
        _check_counts(sides, examples - plan.dropped)
        if EVAL in sides:
            _check_sides(make_pipeline, folder, plan, len(read))
        partition = summary.write_partition(_output(folder), sides, plan, request.facts())
        _publish(Path(_output(folder)), Path(uri))
    if bare := partition.get("clients_without_training_examples"):
        logging.warning("FederatedSplit: %d of %d clients have no training examples", bare, partition["num_clients"])
    if request.parameters.get("holdout") and (bare := partition["clients_without_evaluation_examples"]):
        logging.warning("FederatedSplit: %d of %d clients have no evaluation examples", bare, partition["num_clients"])
    if plan.dropped:
        logging.warning(
            "FederatedSplit: %d of %d examples go to nobody: all with one of %d values of %r",
            *(plan.dropped, examples, plan.dropped_strata, request.stratum),
        )
    logging.info("FederatedSplit: %s, %d clients, examples: %s", request.strategy, len(plan.clients), sides)
    return partition


@contextmanager
def _own_errors() -> Iterator[None]:
    """Raises an error of the project as itself, which a Beam runner may have wrapped."""
    try:
        yield
    except Exception as error:
        cause = cause_of(error)
        if cause is None or cause is error:
            raise
        raise cause from error


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


def _output(folder: str) -> str:
    """The artifact to be."""
    return str(Path(folder, "artifact"))


def _publish(output: Path, uri: Path) -> None:
    """Moves the finished artifact into place, partition.json last: without it no reader opens the rest."""
    for side in (TRAIN, EVAL):
        shutil.rmtree(blocks.split_folder(str(uri), side), ignore_errors=True)
    for made in sorted(output.iterdir(), key=lambda path: path.name == blocks.PARTITION_FILE):
        made.replace(uri / made.name)


def _read(make_pipeline: MakePipeline, files: Sequence[str], folder: str, request: Request) -> list[Manifest]:
    partitions = min(_MAX_PARTITIONS, 1 + sum(map(unzipped_size, files)) // _PARTITION_BYTES)
    label = request.parameters.get("label")
    how = reading.Reading(folder, request.seed, partitions, request.stratum, label, request.numeric, request.omission)
    with make_pipeline() as pipeline:
        _ = (
            pipeline
            | "Files" >> beam.Create(sorted(files))
            | "SpreadFiles" >> beam.Reshuffle()
            | "ReadAndSpill" >> beam.FlatMap(reading.read_and_spill, how)
            | "ByPartition" >> beam.GroupByKey()
            | "Manifests" >> beam.Map(manifests.save_manifest, folder)
        )
    return manifests.load_manifests(folder)


def _rank(make_pipeline: MakePipeline, read: Sequence[Manifest], folder: str, request: Request) -> list[Manifest]:
    filled = [manifest for manifest in read if manifest.examples]
    how = ranking.make_ranking(folder, filled, str(request.stratum), request.parameters["strictness"])
    with make_pipeline() as pipeline:
        _ = (
            pipeline
            | "Partitions" >> beam.Create([manifest.partition for manifest in filled])
            | "SpreadPartitions" >> beam.Reshuffle()
            | "Rank" >> beam.Map(ranking.rank, folder, how)
        )
    return manifests.load_manifests(folder, manifests.RANKED)


def _plan(folder: str, read: Sequence[Manifest], request: Request) -> Plan:
    totals = sum_strata(folder, read)
    record_bytes = sum(manifest.record_bytes for manifest in read)
    plan = make_plan(totals, record_bytes, request.strategy, request.parameters, request.seed)
    save_plan(folder, plan)
    save_bases(folder, read, totals)
    return plan


def _write(make_pipeline: MakePipeline, read: Sequence[Manifest], folder: str, plan: Plan, request: Request) -> dict[str, int]:
    """Returns the number of examples of each side."""
    output, sides = _output(folder), sides_of(request.parameters)
    stage = manifests.RANKED if request.numeric else manifests.READ
    for side in sides:
        blocks.split_folder(output, side).mkdir(parents=True)
    with make_pipeline() as pipeline:
        _ = (
            pipeline
            | "Partitions" >> beam.Create([manifest.partition for manifest in read if manifest.examples])
            | "SpreadPartitions" >> beam.Reshuffle()
            | "Place" >> beam.FlatMap(placing.place, folder, stage)
            | "ByShard" >> beam.GroupByKey()
            | "Assemble" >> beam.Map(assembling.assemble, folder, output, request.parameters["block_bytes"])
        )
    return {side: write_index(folder, output, side, plan.num_shards) for side in sides}


def _check_counts(sides: dict[str, int], examples: int) -> None:
    if sum(sides.values()) != examples:
        raise IntegrityError(f"expected {examples} divided examples, wrote {sum(sides.values())}; run FederatedSplit again.")
    for side, count in sides.items():
        if not count:
            raise DataError(
                f"expected examples on both sides, got none of {examples} on the {side} side; change holdout or "
                "holdout_clients, or use another seed."
            )


def _check_sides(make_pipeline: MakePipeline, folder: str, plan: Plan, ranges: int) -> None:
    leakage.check_clients(_output(folder), plan)
    with make_pipeline() as pipeline:
        _ = (
            pipeline
            | "Shards" >> beam.Create(assembling.assembled(folder))
            | "SpreadShards" >> beam.Reshuffle()
            | "Digests" >> beam.FlatMap(leakage.spill_digests, folder, _output(folder), ranges)
            | "ByRange" >> beam.GroupByKey()
            | "Compare" >> beam.Map(leakage.check_range)
        )
