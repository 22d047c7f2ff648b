"""RunReport's executor: resolves artifacts, asks ML Metadata what made them, has the report made, records."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components import evidence, properties
from components.deploy_gate import evaluation
from components.run_report import facts, spec, writing
from components.run_report.roles import ROLES
from components.run_report.sources import Sources
from lineage import reading, store
from lineage.digests import tree_digest
from lineage.graph import LIVE, Artifact, Graph

logger = logging.getLogger(__name__)

_Artifacts = dict[str, list[types.Artifact]]


class Executor(base_executor.BaseExecutor):
    """See component.RunReport."""

    def Do(self, input_dict: _Artifacts, output_dict: _Artifacts, exec_properties: dict[str, Any]) -> None:
        """Fills `report`, whatever is wrong with an input."""
        report = artifact_utils.get_single_instance(output_dict[spec.REPORT_KEY])
        found: dict[str, Any] = {}
        try:
            sources = _sources(input_dict, exec_properties, self._context.pipeline_run_id if self._context else "")
            found = facts.collect(sources, evaluation.read, datetime.now(timezone.utc))
            writing.write(report.uri, found, writing.pictures(sources))
        except Exception as error:  # the model may be live: its run must not fail for want of a page
            logger.error("the report cannot be made", exc_info=error)
            writing.write_failure(report.uri, f"{type(error).__name__}: {error}")
        for section, why in facts.missing(found).items():
            logger.info("The report's part %r is not available: %s", section, why)
        properties.put(report, _recorded(found))
        report.set_string_custom_property(spec.DIGEST, tree_digest(report.uri))


def _recorded(found: dict[str, Any]) -> dict[str, int | str]:
    model, decision = found.get("model", {}), found.get("decision", {})
    return {
        spec.MODEL_ID: int(model.get("id", 0)),
        spec.MODEL_DIGEST: str(model.get("digest", "")),
        spec.BLESSED: int(bool(decision.get("blessed", False))),
    }


def _sources(inputs: _Artifacts, exec_properties: dict[str, Any], run: str) -> Sources:
    resolved = ((role, evidence.only(inputs, role)) for role in ROLES)
    artifacts = {role: _plain(artifact) for role, artifact in resolved if artifact is not None}
    graph = _graph(exec_properties[spec.METADATA_KEY], [artifact.id for artifact in artifacts.values()])
    return Sources(exec_properties[spec.NAME_KEY], run, artifacts, graph, json.loads(exec_properties[spec.CARD_KEY]))


def _plain(artifact: types.Artifact) -> Artifact:
    recorded = artifact.mlmd_artifact
    created = datetime.fromtimestamp(recorded.create_time_since_epoch / 1000, timezone.utc)
    return Artifact(artifact.id, artifact.type_name, artifact.uri, LIVE, artifact.name, reading.values(recorded), created)


def _graph(metadata: str, artifacts: list[int]) -> Graph:
    """What made these; nothing if it cannot be read, so that the page says so."""
    try:
        with store.opened(metadata) as opened:
            return reading.makers(opened, artifacts)
    except Exception as error:  # whatever is wrong with the database or the way to it
        logger.warning("ML Metadata cannot be read for the report", exc_info=error)
        return Graph({}, {}, (), {})
