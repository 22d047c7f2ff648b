"""Federated training on TensorFlow Federated: change the algorithm in algorithms.py."""
