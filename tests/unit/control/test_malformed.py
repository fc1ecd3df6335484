"""A malformed artifact, or malformed answers of a model server, are a verdict on the candidate and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gitops_ml.artifacts.model_files import read_model_files
from gitops_ml.control.backoff import Backoff
from gitops_ml.control.checks import advisory
from gitops_ml.control.checks.model import answers_in
from gitops_ml.core.declaration.checks import AgreementCheck, DriftCheck
from gitops_ml.core.verification.answers import NoAnswer
from gitops_ml.core.verification.probe_result import TargetResult, read_results
from gitops_ml.errors import EngineFailed, InputError, LockLost, ModelRejected
from tests.unit.builders import NAME, generation, replica, wanted
from tests.unit.simulated_host import Host
from tests.unit.simulated_session import EXAMPLE, FILES, MANIFEST, SimulatedSession

OTHER, TWO = "other", "2" * 12


def changed_manifest(**fields: Any) -> bytes:
    return json.dumps(MANIFEST | fields).encode()


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("example.json", b"{"),
        ("example.json", b"\xff\xfe"),
        ("example.json", b'{"rows": 1}'),
        ("example.json", b'{"inputs": []}'),
        ("example.json", b"[" * 100_000),
        ("example.json", json.dumps(EXAMPLE | {"inputs": [{"name": "age", "shape": [0]}]}).encode()),
        ("manifest.json", changed_manifest(target={"name": "churned", "positive": "yes"})),
        ("manifest.json", b'{"name": "\xff"}'),
        ("manifest.json", b'{"inputs":' + b"[" * 100_000),
        ("manifest.json", b""),
    ],
)
def test_a_malformed_file_fails_its_candidate_and_the_other_deployment_is_rolled_out(path: str, content: bytes) -> None:
    host = Host()
    host.settle(wanted("v1"), wanted("v1", OTHER))
    host.behaviour.files["3" * 12] = FILES | {path: content}
    result = host.sync(host.declaring(wanted("v3"), wanted("v2", OTHER)))
    attempt = host.state(NAME).attempts[-1]
    assert (attempt.verdict, attempt.outcome) == ("Failed", "failed") and attempt.recorded
    assert path in attempt.checks[-1].reason
    assert host.serves(NAME) == ["1" * 12] and host.serves(OTHER) == [TWO]
    assert result.exit_code == 3 and not result.errors


@pytest.mark.parametrize(
    "target",
    [
        [],
        "ready",
        {"ready": "yes"},
        {"ready": True, "ready_seconds": "soon"},
        {"ready": True, "smoke": []},
        {"ready": True, "smoke": {"ok": True, "outputs": {"predict": {"a": 1}}}},
        {"ready": True, "outputs": [{"predict": [[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]}]},
        {"ready": True, "outputs": [[1, 2]]},
        {"ready": True, "outputs": 7},
    ],
)
def test_an_answer_of_another_form_is_rejected(target: Any) -> None:
    with pytest.raises(ModelRejected):
        read_results({"candidate": target})


def test_the_text_of_a_server_is_cleaned() -> None:
    error = "HTTP 500: \x1b[31mno\nGitops-ML-Attempt: forged\x00" + "x" * 5000
    read = read_results({"candidate": {"error": error}})["candidate"]
    assert read.error and "\n" not in read.error and "\x1b" not in read.error and len(read.error) <= 2000


@pytest.mark.parametrize(
    "outputs",
    [
        {"predict": ["a", "b"], "predict_proba": ["much", "little", "none", "all"]},
        {"predict": [0, 1], "predict_proba": [0.5]},
        {"predict_proba": [0.5, 0.5]},
    ],
)
def test_ragged_or_textual_outputs_are_the_models_fault(outputs: dict[str, list[Any]]) -> None:
    manifest = read_model_files(FILES).manifest
    answers = answers_in(TargetResult(ready=True, outputs=(outputs,)), manifest)
    assert isinstance(answers, NoAnswer) and answers.refused


@pytest.mark.parametrize("error", [IndexError(), KeyError("inputs"), InputError("none"), ModelRejected("they differ")])
def test_what_an_advisory_check_meets_makes_that_check_inconclusive(error: Exception) -> None:
    host = Host()
    session = SimulatedSession(host, host.behaviour, print)
    session.servers.samples = lambda live: _raise(error)  # type: ignore[method-assign]
    one = generation("v1")
    drift = advisory.drift(session, DriftCheck(), one, [replica(one)])
    agreement = advisory.agreement(session, AgreementCheck(), (replica(one), one), (replica(one), one), [replica(one)])
    assert {(c.result, c.advisory) for c in (drift, agreement)} == {("inconclusive", True)}


def test_an_advisory_check_does_not_hide_that_the_lock_is_lost() -> None:
    host = Host()
    session = SimulatedSession(host, host.behaviour, print)
    session.servers.samples = lambda live: _raise(LockLost("it went"))  # type: ignore[method-assign]
    with pytest.raises(LockLost):
        advisory.drift(session, DriftCheck(), generation("v1"), [])


def _raise(error: Exception) -> Any:
    raise error


def test_a_wait_grows_up_to_its_limit_and_ends_with_a_success() -> None:
    now = 0.0
    backoff = Backoff(first=1.0, most=5.0, clock=lambda: now)
    waits = []
    for _ in range(5):
        backoff.failed(NAME, EngineFailed("no space"))
        waits.append(backoff.wait(NAME))
    assert waits == [1.0, 2.0, 4.0, 5.0, 5.0] and backoff.gave_up(NAME)
    now = 4.0
    assert backoff.wait(NAME) == 1.0 and backoff.wait(OTHER) == 0.0
    backoff.succeeded(NAME)
    assert backoff.wait(NAME) == 0.0 and not backoff.gave_up(NAME) and backoff.errors == {}


def test_a_person_has_to_act_at_once_on_what_is_stalled() -> None:
    backoff = Backoff()
    backoff.failed(NAME, InputError("that cannot be"))
    assert backoff.gave_up(NAME)
