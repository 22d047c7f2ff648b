"""Questions to ML Metadata, the serving directory and the artifacts: what is there, where it came from, what came of it."""
