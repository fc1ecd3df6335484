"""The candidate of a rollout is signed once: its order grows, and it names the incumbent that may come back."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from gitops_ml.clients.signing import require_never_signed, sign, sign_candidate
from gitops_ml.core.generation import Generation, replica_spec
from gitops_ml.core.journal.entries import Built, Intent, Outcome, Settled
from gitops_ml.core.journal.fold import Entry, encode, fold, fold_entries
from gitops_ml.core.journal.state import DeploymentState
from gitops_ml.core.signed_statement import SignedStatement
from gitops_ml.errors import InputError
from tests.serving.signing import project_key
from tests.unit.builders import DRAIN, ENVIRONMENT, NAME, NOW, PROJECT, generation

PLACE = f"{PROJECT}/{ENVIRONMENT}"


def rolled_out(
    candidate: Generation, before: DeploymentState, key: Path, later: timedelta, *, outcome: Outcome = "promoted"
) -> DeploymentState:
    """The state after a rollout whose candidate was signed `later` than `NOW`."""
    attempt, at = f"{candidate.version}-{later}", (NOW + later).isoformat()
    begun = Intent(
        at=at, attempt=attempt, generation=candidate, incumbent=before.serving, strategy="blue-green", key="k"
    )
    state = fold_entries([begun], msgspec.structs.replace(fold({}, ENVIRONMENT), deployments={NAME: before}))
    signed = sign_candidate(candidate, state.of(NAME), {"model.txt": b"a"}, NOW + later, str(key), PLACE)
    entries: list[Entry] = [
        Built(at=at, attempt=attempt, deployment=NAME, image_id="sha256:1", signed=signed),
        Settled(at=at, attempt=attempt, deployment=NAME, outcome=outcome),
    ]
    return fold_entries(entries, state).of(NAME)


def said(signed: SignedStatement | None) -> dict[str, object]:
    assert signed is not None
    return dict(json.loads(signed.statement))


def test_each_rollout_has_a_larger_order_and_names_its_incumbent(tmp_path: Path) -> None:
    project_key(tmp_path)
    key = tmp_path / "project"
    first = rolled_out(generation("v1"), DeploymentState(), key, timedelta())
    failed = rolled_out(generation("v2"), first, key, timedelta(minutes=1), outcome="failed")
    # The engine's clock went back meanwhile.
    third = rolled_out(generation("v3"), failed, key, timedelta(minutes=-5))
    one, two, three = (said(attempt.generation.signed) for attempt in third.attempts)
    assert (one["channel"], one["generation"], one["back_to"]) == (f"{PLACE}/{NAME}", "1" * 12, None)
    assert (two["back_to"], three["back_to"]) == (one["order"], one["order"])
    assert int(str(one["order"])) < int(str(two["order"])) < int(str(three["order"]))
    assert third.serving and said(third.serving.signed) == three


def test_a_channel_that_was_signed_stays_signed(tmp_path: Path) -> None:
    project_key(tmp_path)
    require_never_signed(DeploymentState(), generation("v1"))
    signed = rolled_out(generation("v1"), DeploymentState(), tmp_path / "project", timedelta())
    with pytest.raises(InputError, match="would be published without a signature"):
        require_never_signed(signed, generation("v2"))


def test_a_public_key_whose_agent_does_not_sign_asks_for_the_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    project_key(tmp_path)
    (tmp_path / "project").rename(tmp_path / "away")
    with pytest.raises(InputError) as refused:
        sign("text", str(tmp_path / "project.pub"), "gitops-ml-channel")
    assert f"ssh-add {tmp_path}/project" in str(refused.value)


def test_a_container_that_is_made_again_from_the_journal_says_the_same(tmp_path: Path) -> None:
    project_key(tmp_path)
    serving = rolled_out(generation("v1"), DeploymentState(), tmp_path / "project", timedelta()).serving
    assert serving and serving.signed
    begun = Intent(at=NOW.isoformat(), attempt="a", generation=serving, incumbent=None, strategy="blue-green", key="k")
    opened = fold({"1": encode(begun)}, ENVIRONMENT).of(NAME).open
    assert opened
    spec = replica_spec(
        opened.generation, project=PROJECT, environment=ENVIRONMENT, replica=0, suffix="abcdef", drain=DRAIN
    )
    shown = (spec.env["GITOPS_ML_STATEMENT"], spec.env["GITOPS_ML_SIGNATURE"])
    assert shown == (serving.signed.statement, serving.signed.signature)
