"""Pusher: puts a blessed model into the serving directory, all of it or nothing; and which model is served now."""

from components.atomic_pusher.component import AtomicPusher
from components.atomic_pusher.served_model import ServedModelStrategy

__all__ = ["AtomicPusher", "ServedModelStrategy"]
