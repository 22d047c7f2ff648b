"""PairedEvaluator: models side by side on every evaluation example."""
