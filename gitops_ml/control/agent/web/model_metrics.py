"""The metrics of models, as the agent offers them: each replica's own, with labels that say which replica it is.

A replica's text comes from a model's container, so nothing in it is trusted: it is parsed, bounded, and cannot name
another replica.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from urllib.parse import quote

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from gitops_ml.control.agent.replica_metrics import Reading, Replica
from gitops_ml.control.agent.web.answers import Answer, Get, Question, json_answer, refusal
from gitops_ml.control.agent.web.exposition import Families, gauge, scrape

PATH, DISCOVERY = "/metrics/models", "/sd"
UP, GATHERED = "gitops_ml_replica_up", "gitops_ml_replicas_gathered"
LONGEST_LINE = 4096
_LABELS = Replica._fields

Readings = Mapping[str, Reading | None]


def gets(read: Callable[[str | None], Readings]) -> Mapping[str, Get]:
    """The answers about the metrics of models.

    `read` reads those of one environment, or of all for None; None stands for an environment that cannot be read.
    """

    def all_models(_: Question) -> Answer:
        readings = read(None)
        return _answer(lambda: merged(readings))

    def one_replica(question: Question) -> Answer:
        path = question.path
        readings = (read(path["environment"]).get(path["environment"]) or {}).items()
        for replica, text in readings:
            if all(getattr(replica, name) == value for name, value in path.items()):
                return _answer_of_one(text)
        return refusal(404, "no such replica runs")

    def discovery(question: Question) -> Answer:
        # https://prometheus.io/docs/prometheus/latest/http_sd/
        address = question.headers.get("host", "")
        replicas = sorted(replica for reading in read(None).values() for replica in reading or ())
        return json_answer(
            [
                {"targets": [address], "labels": {"__metrics_path__": _path_of(replica), **replica._asdict()}}
                for replica in replicas
            ]
        )

    one = f"{PATH}/{{environment}}/{{deployment}}/{{generation}}/{{replica}}"
    return {PATH: all_models, one: one_replica, DISCOVERY: discovery}


def _answer_of_one(text: str) -> Answer:
    families = parsed(text) if text else None
    if families is None:
        return refusal(502, "the replica does not answer with metrics")
    return _answer(lambda: relabelled(families, {}))


def _path_of(replica: Replica) -> str:
    parts = (replica.environment, replica.deployment, replica.generation, replica.replica)
    return "/".join((PATH, *(quote(part, safe="") for part in parts)))


def _answer(families: Callable[[], Iterable[Metric]]) -> Answer:
    registry = CollectorRegistry()
    registry.register(Families(families))
    return scrape(registry)


def merged(readings: Readings) -> Iterator[Metric]:
    """The metrics of all replicas by family, and whether each replica could be read.

    Where replicas give a family different types, the first one's holds, and the others' samples are left out.
    """
    replicas = {
        replica: parsed(text) if text else None
        for reading in readings.values()
        for replica, text in sorted((reading or {}).items())
    }
    yield gauge(
        GATHERED,
        "Whether the replicas of the environment could be asked.",
        ("environment",),
        [((name,), float(reading is not None)) for name, reading in readings.items()],
    )
    yield gauge(
        UP,
        "Whether the replica answers with metrics.",
        _LABELS,
        [(tuple(replica), float(families is not None)) for replica, families in replicas.items()],
    )
    families: dict[str, Metric] = {}
    for replica, own in replicas.items():
        for family in relabelled(own or (), replica._asdict()):
            known = families.setdefault(family.name, family)
            if known is not family and known.type == family.type:
                known.samples.extend(family.samples)
    yield from families.values()


def parsed(text: str) -> list[Metric] | None:
    """The families of one replica's text; None where the text is malformed."""
    if any(len(line) > LONGEST_LINE for line in text.split("\n")):
        return None
    try:
        return list(text_string_to_metric_families(text))
    except Exception:  # the parser meets text of a model's container, and raises what it happens to raise
        return None


def relabelled(families: Iterable[Metric], identity: dict[str, str]) -> Iterator[Metric]:
    """The families of one replica, each sample once. `identity`: labels that replace those that the replica gives."""
    seen = set()
    for family in families:
        if family.name in (UP, GATHERED):
            continue
        result = Metric(family.name, family.documentation, family.type)
        for sample in family.samples:
            labels = {k: v for k, v in sample.labels.items() if k not in _LABELS and not k.startswith("__")} | identity
            key = (sample.name, *sorted(labels.items()))
            if key not in seen:
                seen.add(key)
                result.add_sample(sample.name, labels, sample.value)
        yield result
