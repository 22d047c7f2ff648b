"""The stock ExampleValidator, with anomalies that stop the run."""
