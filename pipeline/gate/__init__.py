"""The gate of a config: what the Evaluator is told, which judges there are, and what is refused before anything is trained.

`python -m pipeline.gate explain --config F` says what it requires. Importing this loads neither TensorFlow nor TFX.
"""

from pipeline.gate.evaluation import eval_config, metric_names
from pipeline.gate.judges import compares, judges
from pipeline.gate.kind import kind
from pipeline.gate.lint import lint

__all__ = ["compares", "eval_config", "judges", "kind", "lint", "metric_names"]
