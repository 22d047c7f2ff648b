"""The stock ExampleValidator, with anomalies that stop the run, and a check that the data fit the model module."""

from components.example_validator.component import StoppingExampleValidator

__all__ = ["StoppingExampleValidator"]
