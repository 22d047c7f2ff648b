"""FederatedSplit: divides training examples among federated clients."""
