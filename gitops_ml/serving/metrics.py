"""Metrics of the model server, for Prometheus: one registry for the model that this process serves."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Counters of the model server; names start with `gitops_ml_`.

    Args:
        identity: labels of `gitops_ml_model_info`: deployment, model, version, digest, generation.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, identity: dict[str, str]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        info = Gauge("gitops_ml_model_info", "The model served.", list(identity), registry=self._registry)
        info.labels(**identity).set(1)
        self._requests = Counter(
            "gitops_ml_inference_requests_total", "Inference requests.", ["code"], registry=self._registry
        )
        self._seconds = Histogram(
            "gitops_ml_inference_seconds",
            "Time to answer, body read.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._rows = Counter("gitops_ml_inference_rows_total", "Rows predicted.", registry=self._registry)
        self._in_flight = Gauge("gitops_ml_requests_in_flight", "Requests in flight.", registry=self._registry)

    def answered(self, code: int, rows: int, seconds: float) -> None:
        """Count an inference request that was answered with the HTTP status `code`."""
        self._requests.labels(str(code)).inc()
        self._seconds.observe(seconds)
        self._rows.inc(rows)

    def text(self, in_flight: int) -> bytes:
        """The current values in Prometheus' text format."""
        self._in_flight.set(in_flight)
        return generate_latest(self._registry)
