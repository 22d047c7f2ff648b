"""What a judge that asks models does with its inputs: which models there are, and whether they may be loaded at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tfx import types
from tfx.utils import path_utils

from components import evidence
from components.answers import BASELINE, CANDIDATE, SERVED, Asked
from errors import ConfigError, IntegrityError

MODEL, SERVING_REPORT, BASELINE_MODEL, SERVED_MODEL = "model", "serving_report", "baseline", "served"
MODULE, MODULE_DIGEST, KIND, METRICS, BATCH_SIZE = "module", "module_digest", "kind", "metrics", "batch_size"
CODE_VERSION = "code_version"
FORMAT = 1
SUMMARY_FILE = "summary.json"
REPORT_FILE = "serving_report.json"
NOT_EVALUATED = {"format": FORMAT, "evaluated": False}

Inputs = Mapping[str, Sequence[types.Artifact]]


class Judged(NamedTuple):
    """The Model artifacts of an execution; the last two None if there are none."""

    candidate: types.Artifact
    served: types.Artifact | None
    baseline: types.Artifact | None

    @classmethod
    def of(cls, inputs: Inputs) -> Judged:
        """Resolves them.

        Raises:
          IntegrityError: the model under test or the baseline is not what was published.
        """
        judged = cls(evidence.only(inputs, MODEL), evidence.only(inputs, SERVED_MODEL), evidence.only(inputs, BASELINE_MODEL))
        evidence.require_published(judged.candidate, "FederatedTrainer" if judged.baseline else "the node that trains it")
        if judged.baseline:
            evidence.require_published(judged.baseline, "Trainer")
        return judged

    def asked(self, key: str, properties: Mapping[str, Any]) -> Asked:
        """Returns whom to ask, and how, as the execution properties say; `key` is of the execution."""
        there = ((CANDIDATE, self.candidate), (BASELINE, self.baseline), (SERVED, self.served))
        models = tuple((name, str(path_utils.serving_model_dir(model.uri))) for name, model in there if model is not None)
        return Asked(key, properties[MODULE], properties[KIND], models, properties[BATCH_SIZE])


def batch_size(size: int) -> int:
    """Returns a batch size that can be used; raises ConfigError for another."""
    if size < 1:
        raise ConfigError(f"expected a batch_size of at least 1, got {size}.")
    return size


def may_be_loaded(inputs: Inputs, model: types.Artifact) -> bool:
    """Returns what ServingCheck says of the model under test; True where it was not asked.

    Raises:
      IntegrityError: its report is not the one that was published, is about another model, or cannot be read.
    """
    report = evidence.only(inputs, SERVING_REPORT)
    if report is None:
        return True
    if problem := evidence.problem(report, model):
        raise IntegrityError(
            f"expected ServingCheck's report on this model in {report.uri}, but {problem}; run again with --from ServingCheck."
        )
    try:
        return bool(json.loads(Path(report.uri, REPORT_FILE).read_text(encoding="utf-8"))["loadable"] is True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"expected a report in {report.uri}, found none; run again with --from ServingCheck.") from error


def write_summary(uri: str, summary: Mapping[str, Any]) -> None:
    """Writes summary.json; refuses NaN, which is no JSON."""
    text = json.dumps(summary, indent=2, sort_keys=True, allow_nan=False)
    Path(uri, SUMMARY_FILE).write_text(text + "\n", encoding="utf-8")
