"""Looks a model over without loading it, then loads it in a model server of its own and asks it."""
