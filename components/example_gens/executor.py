"""What all formats share: check the input, read it through Beam, split it, write it, record the facts."""

from __future__ import annotations

import abc
import itertools
import logging
from typing import Any

import apache_beam as beam
from tfx import types
from tfx.components.example_gen.base_example_gen_executor import BaseExampleGenExecutor
from tfx.components.util import examples_utils
from tfx.types import artifact_utils
from tfx.types import standard_component_specs as specs

from components.example_gens import files
from components.example_gens.leaving_out import LeaveOut
from components.example_gens.plan import FORGOTTEN, Plan, plan_of
from components.example_gens.shards import WriteSplit, count_records
from components.example_gens.splits import split_index
from errors import DataError
from lineage.digests import tree_digest

# Input bytes for which one more shard is written: small enough to sort in a worker's memory even if zipped ten to one.
_BYTES_PER_SHARD = 64 << 20


class SplitExecutor(BaseExampleGenExecutor, abc.ABC):
    """Base of the formats' executors.

    A format gives `GetInputSourceToExamplePTransform`, as in TFX, whose records must be tf.Examples serialized
    deterministically, and `check_files` for what can be told before Beam starts.

    The output artifact:

        {uri}/Split-train/data_tfrecord-00000-of-00001.gz   tf.Examples, in an order drawn from seed and content
        {uri}/Split-eval/...

    Its custom properties: `seed`, `num_examples_<split>`, `digest` (tree digest of the directory), `forgotten` (how
    many clients are left out, if any), and TFX's
    `input_fingerprint`, `payload_format`, `file_format`.
    """

    @abc.abstractmethod
    def check_files(self, paths: list[str]) -> None:
        """Raises DataError if the files (at least one, none empty, sorted) cannot be what the format says."""

    def check_input(self, plan: Plan) -> int:
        """Returns the input's size in bytes after checking what can be checked without reading all of it.

        Raises:
          DataError: files are missing, empty, in two splits, or refused by `check_files`.
        """
        sizes: dict[str, int] = {}
        for split, pattern in plan.patterns.items():
            found = files.require(plan.base, pattern)
            if shared := sizes.keys() & found.keys():
                raise DataError(
                    f"{min(shared)}: expected each file in one split, got it in {split!r} and another; narrow data.splits"
                )
            sizes.update(found)
        self.check_files(sorted(sizes))
        return sum(sizes.values())

    def GenerateExamplesByBeam(
        self, pipeline: beam.Pipeline, exec_properties: dict[str, Any]
    ) -> dict[str, beam.pvalue.PCollection]:
        """Returns the records of each split. Given splits are TFX's; the hash split is ours, because TFX's has no seed."""
        plan = plan_of(exec_properties)
        if not plan.buckets:
            return super().GenerateExamplesByBeam(pipeline, exec_properties)
        read = self.GetInputSourceToExamplePTransform()
        bounds = list(itertools.accumulate(plan.buckets.values()))
        [pattern] = plan.patterns.values()
        records = pipeline | "InputToRecord" >> read(exec_properties, pattern)
        parts = records | "SplitData" >> beam.Partition(split_index, len(bounds), bounds, plan.seed)
        return dict(zip(plan.splits, parts, strict=True))

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Reads the input and writes the Examples artifact.

        Raises:
          DataError: the input cannot be used, or a split came out empty. What a Beam worker raises arrives wrapped; see
            components.beam_errors.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        plan = plan_of(exec_properties)
        num_shards = 1 + self.check_input(plan) // _BYTES_PER_SHARD
        examples = artifact_utils.get_single_instance(output_dict[specs.EXAMPLES_KEY])
        examples.split_names = artifact_utils.encode_split_names(plan.splits)
        folders = {split: artifact_utils.get_split_uri([examples], split) for split in plan.splits}
        with self._make_beam_pipeline() as pipeline:
            for split, records in self.GenerateExamplesByBeam(pipeline, exec_properties).items():
                if plan.omission is not None:
                    records |= f"LeaveOut[{split}]" >> beam.ParDo(LeaveOut(plan.omission))
                _ = records | f"WriteSplit[{split}]" >> WriteSplit(folders[split], plan.seed, num_shards)
        examples_utils.set_payload_format(examples, exec_properties[specs.OUTPUT_DATA_FORMAT_KEY])
        examples_utils.set_file_format(examples, "tfrecords_gzip")
        _record_facts(examples, plan, {split: count_records(folder) for split, folder in folders.items()})


def _record_facts(examples: types.Artifact, plan: Plan, counts: dict[str, int]) -> None:
    for split, count in counts.items():
        if not count:
            raise DataError(
                f"split {split!r}: expected examples, got none of {sum(counts.values())}; give more data, another seed, or a"
                " larger share in data.splits"
            )
        examples.set_int_custom_property(f"num_examples_{split}", count)
    examples.set_int_custom_property("seed", plan.seed)
    if plan.omission is not None:
        examples.set_int_custom_property(FORGOTTEN, plan.omission.count)
    examples.set_string_custom_property("digest", tree_digest(examples.uri))
    logging.info("Examples written with seed %d: %s", plan.seed, counts)
