"""WHERE a pipeline runs: roots, metadata connection, Beam arguments. What it computes is a PipelineConfig."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Environment:
    """Places and engines of a run.

    Attributes:
      root: folder of artifacts, metadata and logs; shared by any number of pipelines.
      serving_root: TF-Serving base folder; models go to `{serving_root}/{pipeline name}/{version}`.
      beam_args: command-line arguments for Beam nodes. Empty is the in-process direct runner; TFX packs itself into a wheel for
        every Beam node (3.7 s each) as soon as there is one.
      model_server_image: image of TensorFlow Serving, `name:tag`, in which the stock InfraValidator tries a model too; only
        where the pipeline runs in a Kubernetes cluster. ServingCheck tries it in our own model server everywhere.
      model_servers: HOST:PORT of the model servers' gRPC that must answer with a pushed version before the run is done.
      signing_key: private key for statements about pushed models; None for none. Only the path goes to nodes.
      cache: whether a node whose inputs, parameters and code did not change is answered from an earlier run.
    """

    root: str
    serving_root: str
    beam_args: tuple[str, ...] = ()
    cache: bool = True
    model_server_image: str | None = None
    model_servers: tuple[str, ...] = ()
    signing_key: str | None = None

    @classmethod
    def local(
        cls,
        root: str = "pipeline_root",
        serving_root: str = "serving/models",
        *,
        cache: bool = True,
        model_servers: Sequence[str] = (),
        signing_key: str | None = None,
    ) -> Environment:
        """This machine: artifacts and a sqlite ML Metadata database under `root`."""
        return cls(
            os.path.abspath(root),
            os.path.abspath(serving_root),
            cache=cache,
            model_servers=tuple(model_servers),
            signing_key=os.path.abspath(signing_key) if signing_key is not None else None,
        )

    @property
    def metadata_path(self) -> str:
        """The sqlite database of ML Metadata."""
        return os.path.join(self.root, "metadata.sqlite")

    def metadata_connection(self) -> Any:
        """Returns the ml_metadata ConnectionConfig of this environment."""
        from tfx.orchestration import metadata

        return metadata.sqlite_metadata_connection_config(self.metadata_path)

    def pipeline_root(self, name: str) -> str:
        """Folder of one pipeline's artifacts: `{root}/{name}/{node}/{output}/{execution id}`."""
        return os.path.join(self.root, name)

    @property
    def state_dir(self) -> str:
        """Folder of what federated trainings keep between executions: checkpoints, privacy ledgers of populations."""
        return os.path.join(self.root, ".federated_trainer")

    def model_dir(self, name: str) -> str:
        """Folder of one pipeline's served versions."""
        return os.path.join(self.serving_root, name)
