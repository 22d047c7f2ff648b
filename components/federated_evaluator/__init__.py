"""FederatedEvaluator: the model under test, and the served one, on every evaluation client."""
