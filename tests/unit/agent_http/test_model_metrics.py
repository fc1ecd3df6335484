"""Metrics of models from the texts of their replicas, which may hold anything."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from gitops_ml.control.agent.replica_metrics import Replica
from gitops_ml.control.agent.web.answers import Question
from gitops_ml.control.agent.web.model_metrics import GATHERED, LONGEST_LINE, UP, Readings, gets, merged, parsed
from gitops_ml.serving.metrics import Metrics as ServerMetrics
from tests.effort import examples

FIRST = Replica("dev", "churn", "v1", "1" * 12, "0")
SECOND = Replica("dev", "churn", "v1", "1" * 12, "1")
CANDIDATE = Replica("dev", "churn", "v2", "2" * 12, "0")


def server_text(requests: int) -> str:
    """The metrics of our server after so many requests."""
    identity = {"deployment": "churn", "model": "m", "version": "v1", "digest": "d", "generation": "1" * 12}
    metrics = ServerMetrics(identity)
    for _ in range(requests):
        metrics.answered(200, 3, 0.01)
    return metrics.text(0).decode()


def samples_of(families: list[Metric], name: str) -> dict[Replica, float]:
    """The samples of a name, by replica."""
    return {
        Replica(*(sample.labels[label] for label in Replica._fields)): sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
    }


def scraped(readings: Readings) -> list[Metric]:
    """What Prometheus makes of `/metrics/models`."""
    text = gets(lambda _: readings)["/metrics/models"](Question()).body.decode()
    return list(text_string_to_metric_families(text))


def test_each_replica_has_its_own_counts() -> None:
    families = scraped({"dev": {FIRST: server_text(3), SECOND: server_text(5), CANDIDATE: server_text(1)}})
    counts = samples_of(families, "gitops_ml_inference_requests_total")
    assert counts == {FIRST: 3, SECOND: 5, CANDIDATE: 1}
    assert samples_of(families, UP) == {FIRST: 1, SECOND: 1, CANDIDATE: 1}
    assert len({family.name for family in families}) == len(families), "each family is told once"


def test_a_replica_that_does_not_answer_is_down_and_the_others_are_told() -> None:
    families = scraped({"dev": {FIRST: "", SECOND: server_text(5)}})
    assert samples_of(families, UP) == {FIRST: 0, SECOND: 1}
    assert samples_of(families, "gitops_ml_inference_rows_total") == {SECOND: 15}


def test_an_environment_that_cannot_be_asked_is_said() -> None:
    families = scraped({"dev": None, "prod": {FIRST: server_text(1)}})
    gathered = next(family for family in families if family.name == GATHERED)
    assert {sample.labels["environment"]: sample.value for sample in gathered.samples} == {"dev": 0, "prod": 1}


def test_a_replica_cannot_name_another_one() -> None:
    forged = (
        f'x_total{{environment="prod",deployment="fraud",replica="7",code="200"}} 9\n'
        f'{UP}{{deployment="fraud"}} 1\n{GATHERED}{{environment="prod"}} 0\n'
    )
    families = scraped({"dev": {FIRST: forged}})
    labels = [sample.labels for family in families for sample in family.samples if sample.name == "x_total"]
    assert labels == [{**FIRST._asdict(), "code": "200"}]
    assert samples_of(families, UP) == {FIRST: 1}


@pytest.mark.parametrize(
    "text",
    [
        "<html>no metrics</html>",
        'x{le="1',
        "# TYPE x nonsense\nx 1\n",
        f'x{{a="{"a" * LONGEST_LINE}"}} 1\n',
        'x{a="1",a="2"} 1\n',
        "\x00",
    ],
)
def test_text_that_is_no_metrics_makes_its_replica_down(text: str) -> None:
    families = scraped({"dev": {FIRST: text, SECOND: server_text(5)}})
    assert samples_of(families, UP) == {FIRST: 0, SECOND: 1}


def test_a_sample_that_comes_twice_is_told_once() -> None:
    families = scraped({"dev": {FIRST: 'x{replica="1"} 1\nx{replica="2"} 2\n'}})
    assert samples_of(families, "x") == {FIRST: 1}


def test_types_that_replicas_disagree_on_are_those_of_the_first() -> None:
    families = scraped({"dev": {FIRST: "# TYPE x gauge\nx 1\n", SECOND: "# TYPE x summary\nx 2\n"}})
    assert [(f.name, f.type) for f in families if f.name.startswith("x")] == [("x", "gauge")]


@settings(max_examples=examples(200), deadline=None)
@given(st.lists(st.sampled_from([*'ax_{}="\\,# 1\n\x00é', "TYPE x counter", "# HELP x ", "nan", "le"]), max_size=60))
def test_no_text_of_a_replica_breaks_the_answer(pieces: list[str]) -> None:
    families = scraped({"dev": {FIRST: "".join(pieces), SECOND: server_text(1)}})
    assert samples_of(families, UP)[SECOND] == 1


def test_the_longest_hostile_text_is_read_within_seconds() -> None:
    line = 'x{a="' + '\\"' * (LONGEST_LINE // 2 - 10) + '"} 1\n'
    began = time.monotonic()
    parsed(line * (256 * 1024 // len(line)))
    assert time.monotonic() - began < 10


# --- discovery


def test_prometheus_discovers_each_replica_through_the_agent() -> None:
    readings: Readings = {"dev": {SECOND: "", FIRST: ""}, "prod": None}
    answer = gets(lambda _: readings)["/sd"](Question(headers={"host": "agent.example.com:9464"}))
    assert answer.media_type == "application/json"
    first, second = json.loads(answer.body)
    assert first == {
        "targets": ["agent.example.com:9464"],
        "labels": {"__metrics_path__": f"/metrics/models/dev/churn/{'1' * 12}/0", **FIRST._asdict()},
    }
    assert second["labels"]["replica"] == "1"


def asked(readings: Readings, replica: Replica) -> tuple[int, str]:
    path = {"environment": replica.environment, "deployment": replica.deployment}
    path |= {"generation": replica.generation, "replica": replica.replica}
    one = "/metrics/models/{environment}/{deployment}/{generation}/{replica}"
    answer = gets(lambda _: readings)[one](Question(path=path))
    return answer.status, answer.body.decode()


def test_a_discovered_replica_is_asked_alone() -> None:
    readings: Readings = {"dev": {FIRST: server_text(3), SECOND: ""}}
    status, text = asked(readings, FIRST)
    assert status == 200 and 'gitops_ml_inference_requests_total{code="200"} 3.0' in text
    assert "generation=" not in text, "the labels come from the discovery"
    assert asked(readings, SECOND)[0] == 502
    assert asked(readings, CANDIDATE)[0] == 404
    assert asked({"dev": None}, FIRST)[0] == 404


def test_the_families_of_nothing_are_empty() -> None:
    assert [family.samples for family in merged({})] == [[], []]
