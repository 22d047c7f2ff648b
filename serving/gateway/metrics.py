"""What the gateway counts, in a registry of its own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """Counters of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "gateway_requests", "Requests by route and status.", ["route", "status"], registry=self._registry
        )
        self.seconds = Histogram(
            "gateway_request_seconds", "Time to answer, by route.", ["route"], buckets=_SECONDS, registry=self._registry
        )
        self.in_flight = Gauge("gateway_requests_in_flight", "Predictions under way.", registry=self._registry)
        self.answers = Counter(
            "gateway_answers", "Answers by the version that gave them.", ["version"], registry=self._registry
        )

    def text(self) -> bytes:
        """All of them in Prometheus's text format."""
        return generate_latest(self._registry)
