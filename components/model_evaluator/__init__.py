"""TFX's Evaluator, which loads no model that is not fit to be loaded, and whose evaluation says what it is about."""

from components.model_evaluator.component import ModelEvaluator, ReportingEvaluator

__all__ = ["ModelEvaluator", "ReportingEvaluator"]
