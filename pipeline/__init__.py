"""What runs, in which order: the config, the gate and the DAG. Importing this loads neither TensorFlow nor TFX."""

from pipeline.config import BaselineConfig, DataConfig, GateConfig, PipelineConfig, SplitConfig, TrainConfig

__all__ = ["BaselineConfig", "DataConfig", "GateConfig", "PipelineConfig", "SplitConfig", "TrainConfig"]
