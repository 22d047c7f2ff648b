"""What a model server reads, and the tools around it. Importing it loads neither TensorFlow nor TFX."""

from serving.layout import Published, holds, live_version, model_directory, publish, versions

__all__ = ["Published", "holds", "live_version", "model_directory", "publish", "versions"]
