"""From one configuration to the next: what must be loaded before it is taken, and when it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from serving.server.model import Model
from serving.server.model_config import Settings
from serving.server.status import ApiError
from serving.server.versions import AVAILABLE


@dataclass(frozen=True)
class Transition:
    """A configuration that every model has as `pending`. All methods under the manager's lock.

    Attributes:
      models: every model by name.
      wanted: the new settings by name.
      await_new: models that are new must have a version that loads.
      labels_for_unavailable: a label that is new, or stays as it is, may name a version that is not available.
    """

    models: Mapping[str, Model]
    wanted: Mapping[str, Settings]
    await_new: bool
    labels_for_unavailable: bool

    def decided(self) -> bool:
        """Whether waiting longer would change nothing."""
        labelled = all(self.models[name].settled(self._labelled(name).values()) for name in self.wanted)
        return labelled and all(self.models[name].has_started(self.wanted[name]) for name in self._new())

    def check(self) -> None:
        """Refuses what cannot be taken.

        Raises:
          ApiError: UNKNOWN if a new model did not load, FAILED_PRECONDITION for a label.
        """
        missing = [name for name in self._new() if not self.models[name].available()]
        if missing:
            reasons = "; ".join(f"{name}: {self._reason(name)}" for name in missing)
            raise ApiError("UNKNOWN", f"{len(missing)} model(s) did not become available: {reasons}")
        for name in sorted(self.wanted):
            self._check_labels(name)

    def _new(self) -> list[str]:
        return sorted(name for name in self.wanted if self.await_new and self.models[name].settings is None)

    def _reason(self, name: str) -> str:
        errors = [status.message for status in self.models[name].statuses() if status.message]
        return errors[0] if errors else "no complete version in its directory"

    def _labelled(self, name: str) -> dict[str, Path]:
        """The labels of a model that must name an available version, and the directories of those."""
        settings, current = self.wanted[name], self.models[name].settings
        before = current.labels if current else {}
        return {
            label: settings.base_path / str(number)
            for label, number in sorted(settings.labels.items())
            if not self.labels_for_unavailable or before.get(label, number) != number
        }

    def _check_labels(self, name: str) -> None:
        model = self.models[name]
        chosen = model.chosen(self.wanted[name])
        for label, path in self._labelled(name).items():
            version = model.versions.get(path)
            if path not in chosen or version is None or version.state != AVAILABLE:
                reason = f": {version.error.message}" if version and version.error else ""
                raise ApiError(
                    "FAILED_PRECONDITION",
                    f"Request to assign label {label} to version {path.name} of model {name}, which is not currently available"
                    f" for inference under its version policy{reason}",
                )
