"""The executor of ServingCheck: resolves artifacts, checks, writes the report, records."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components import evidence
from components.judged import REPORT_FILE
from components.serving_check import spec
from components.serving_check.checking import Request, check
from components.serving_check.sampling import choose
from errors import DataError

SPLIT = "eval"

logger = logging.getLogger(__name__)


class Executor(base_executor.BaseExecutor):
    """See component.ServingCheck."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes serving_report.json; see `components.artifacts`. A bad model is a finding in it, not an error.

        Raises:
          IntegrityError: the model or the examples are not what was published.
          DataError: there are no evaluation examples, or other ones than the module says.
          FedtfxError: the module cannot be loaded, or the disk is full.
        """
        model = artifact_utils.get_single_instance(input_dict[spec.MODEL])
        report = artifact_utils.get_single_instance(output_dict[spec.SERVING_REPORT])
        settings = json.loads(exec_properties[spec.SETTINGS])
        evidence.require_published(model, "the node that trains it")
        for examples in input_dict[spec.EXAMPLES]:
            evidence.require_published(examples, "ExampleGen")
        request = Request(
            module=exec_properties[spec.MODULE],
            records=_records(input_dict[spec.EXAMPLES], settings["samples"], exec_properties[spec.SEED]),
            requests=settings["requests"],
            allowed_ops=settings["allowed_ops"],
        )
        found = check(path_utils.serving_model_dir(model.uri), request)
        _write(Path(report.uri), found)
        report.set_int_custom_property("loadable", int(found["loadable"]))
        evidence.record(report, model)
        logger.info("%s", _summary(found))


def _records(examples: Sequence[types.Artifact], count: int, seed: int) -> list[bytes]:
    missing = [one.uri for one in examples if SPLIT not in artifact_utils.decode_split_names(one.split_names)]
    if missing:
        raise DataError(f"expected a split named {SPLIT!r} in {missing[0]}, found none; name the splits train and {SPLIT}.")
    folders = [Path(uri) for uri in artifact_utils.get_split_uris(list(examples), SPLIT)]
    paths = [str(path) for folder in folders for path in folder.glob("*") if path.is_file() and not path.name.startswith(".")]
    records = choose(paths, count, seed)
    if not records:
        raise DataError(
            f"expected evaluation examples in {folders[0]}, found none; give the {SPLIT} split a share of the data."
        )
    return records


def _write(folder: Path, found: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / REPORT_FILE).write_text(json.dumps(found, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def _summary(found: dict[str, Any]) -> str:
    """The one line that a person reads in the log."""
    server = found["server"]
    if server is None:
        reasons = [*found["problems"]]
        reasons += [f"refused operations: {', '.join(found['refused_ops'])}"] if found["refused_ops"] else []
        reasons += [f"{found['weights']['non_finite']} weights are not finite"] if found["weights"]["non_finite"] else []
        return f"the model is not to be loaded: {'; '.join(reasons)}"
    if server["problem"]:
        return f"the model was loaded, but {server['problem']}"
    latency = ", ".join(f"{name} {part['p50']:.1f} ms" for name, part in server["latency_ms"].items() if part)
    return f"the model server answered {server['samples']} samples; median {latency or 'unknown'}"
