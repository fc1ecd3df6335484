"""Families of metrics as an answer that Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from gitops_ml.control.agent.web.answers import Answer

Samples = Iterable[tuple[tuple[str, ...], float]]
"""The values of a family's labels, and the number."""


class Families(Collector):
    """Hands families to a registry, made anew at each scrape."""

    def __init__(self, families: Callable[[], Iterable[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """The families now."""
        return self._families()


def gauge(name: str, text: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    """A family of gauges."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family


def counter(name: str, text: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    """A family of counters; its samples' names end in `_total`."""
    family = CounterMetricFamily(name, text, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family


def scrape(registry: CollectorRegistry, accept: str = "") -> Answer:
    """The answer to a scrape: text, or OpenMetrics where the client accepts it."""
    encode, media_type = choose_encoder(accept)
    return Answer(encode(registry), media_type)
