"""What an execution was asked to do, read back from TFX's execution properties."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import struct_pb2
from tfx.proto import example_gen_pb2
from tfx.types import standard_component_specs as specs
from tfx.utils import proto_utils

from lineage.forgotten import Omission

FORGOTTEN = "forgotten"


@dataclass(frozen=True)
class Plan:
    """Where the input is and how it becomes splits.

    Attributes:
      base: the input folder; empty for data that has no files.
      patterns: file pattern of each input split, spans filled in.
      buckets: hash buckets of each output split; empty when the splits are given by `patterns`.
      seed: of the hash split and of the stored order.
      omission: whose examples are left out; None while nobody was forgotten.
    """

    base: str
    patterns: dict[str, str]
    buckets: dict[str, int]
    seed: int
    omission: Omission | None = None

    @property
    def splits(self) -> list[str]:
        """The names of the output splits."""
        return list(self.buckets or self.patterns)


def plan_of(exec_properties: Mapping[str, Any]) -> Plan:
    """Reads the plan from an execution's properties (protos as JSON text, as TFX passes them)."""
    facts = _facts(exec_properties[specs.CUSTOM_CONFIG_KEY])
    source = example_gen_pb2.Input()
    proto_utils.json_to_proto(exec_properties[specs.INPUT_CONFIG_KEY], source)
    output = example_gen_pb2.Output()
    proto_utils.json_to_proto(exec_properties[specs.OUTPUT_CONFIG_KEY], output)
    return Plan(
        base=exec_properties.get(specs.INPUT_BASE_KEY) or "",
        patterns={split.name: split.pattern for split in source.splits},
        buckets={split.name: split.hash_buckets for split in output.split_config.splits},
        seed=int(facts["seed"]),
        omission=Omission.of(facts[FORGOTTEN]) if FORGOTTEN in facts else None,
    )


def _facts(custom_config: str) -> struct_pb2.Struct:
    config = example_gen_pb2.CustomConfig()
    proto_utils.json_to_proto(custom_config, config)
    facts = struct_pb2.Struct()
    config.custom_config.Unpack(facts)
    return facts
