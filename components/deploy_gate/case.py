"""One model before the gate: what was found about it, and what is served beside it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfx import types
from tfx.utils import path_utils

from components import evidence
from components.deploy_gate.requirements import SERVING
from lineage.digests import tree_digest
from serving import layout


class Unknown(Exception):
    """What a requirement asks for cannot be told, for the reason given: it has failed."""


class NotApplicable(Exception):
    """A requirement says nothing about this model, for the reason given: it is skipped."""


@dataclass(frozen=True)
class Live:
    """The version that is served now, or should be though its directory is gone.

    digest: tree digest of its directory; empty if it cannot be read.
    """

    version: int
    digest: str
    same_as_model: bool

    @classmethod
    def now(cls, model_dir: str, model: types.Artifact) -> Live | None:
        """Looks into a model's serving directory; None if nothing is served from it, and nothing was or should be."""
        version = layout.live_version(model_dir)
        if version is None:
            return cls._lost(model_dir, model)
        digest = digest_of(Path(model_dir, str(version)))
        return cls(version, digest or "", digest is not None and digest == export_digest(model))

    @classmethod
    def _lost(cls, model_dir: str, model: types.Artifact) -> Live | None:
        lost = layout.lost_version(model_dir)
        if lost is None:
            return None
        version, recorded = lost
        left = digest_of(Path(model_dir, str(version))) or ""  # of a directory without its saved_model.pb
        return cls(version, left, bool(recorded) and recorded == export_digest(model))


@dataclass(frozen=True)
class Case:
    """What the observers look at.

    Attributes:
      settings: the gate's.
      model: the Model under test.
      model_node: id of the node that made it.
      findings: judge -> its finding; judges without one are not in it.
      served: the Model to compare with; None if none was resolved.
      live: what is served now; None if nothing is.
      infra_blessing: the InfraValidator's InfraBlessing, if there is one.
      failed_nodes: ids of the nodes of this run that failed, as text.
      approvals_problem: why the file of approvals cannot be read; empty if it can, or if there is none.
      state_dir: folder with the privacy ledgers, or empty.
    """

    settings: Mapping[str, Any]
    model: types.Artifact
    model_node: str
    findings: Mapping[str, types.Artifact]
    served: types.Artifact | None = None
    live: Live | None = None
    infra_blessing: types.Artifact | None = None
    failed_nodes: str = ""
    approvals_problem: str = ""
    state_dir: str = ""
    _known: dict[Any, Any] = field(default_factory=dict)

    @functools.cached_property
    def model_digest(self) -> str | None:
        """Tree digest of the model's directory now; None if it cannot be read."""
        return digest_of(self.model.uri)

    @functools.cached_property
    def served_digest(self) -> str | None:
        """The same of the served model; None also if there is none."""
        return digest_of(self.served.uri) if self.served else None

    def problem(self, judge: str) -> str | None:
        """Returns why a judge's finding does not count, in plain words; None if it does."""
        return self.once(("problem", judge), lambda: self._problem(judge))

    def folder(self, judge: str) -> Path:
        """Returns the directory of a judge's finding.

        Raises:
          Unknown: the finding does not count.
        """
        if reason := self.problem(judge):
            raise Unknown(f"not known: the finding of {judge} does not count, {reason}")
        return Path(self.findings[judge].uri)

    def comparable(self) -> None:
        """Returns if there is a served model that this one was compared with.

        Raises:
          NotApplicable: nothing is served, or nothing but this very model.
          Unknown: something is served that this model was not compared with.
        """
        if self.live is None and self.served is None:
            raise NotApplicable("nothing is served to compare with")
        if self.live is None:
            raise Unknown("not known: nothing is served now, though a model was when this run began")
        if self.live.same_as_model and self.served is None:
            raise NotApplicable(f"it is what is served already (version {self.live.version}), and no model before it is left")
        if self.served is None:
            raise Unknown(f"not known: version {self.live.version} is served, but no model to compare with was found for it")
        if not self.live.same_as_model and export_digest(self.served) != self.live.digest:
            raise Unknown(f"not known: version {self.live.version} is served now, another model than was compared with")

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """Returns `make()`, made when it is asked for first."""
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    def _problem(self, judge: str) -> str | None:
        finding = self.findings.get(judge)
        if finding is None:
            return "there is none"
        compares = judge != SERVING
        served = self.served if compares else None
        if problem := evidence.problem(finding, self.model, served, model_digest=self.model_digest):
            return problem
        beside = finding.get_int_custom_property("served_id")
        if self.served is None:
            return f"it was measured beside model {beside}, which is not what is served now" if beside else None
        if compares and finding.get_string_custom_property("served_digest") != self.served_digest:
            return "it was measured beside other bytes than the served model has now"
        return None


def digest_of(folder: str | Path) -> str | None:
    """Returns a directory's tree digest; None if it is not there or cannot be read."""
    try:
        return tree_digest(folder)
    except (OSError, ValueError):
        return None


def export_digest(model: types.Artifact) -> str | None:
    """Returns the tree digest of what a model server would load of a Model; None if it cannot be read."""
    return digest_of(path_utils.serving_model_path(model.uri))
