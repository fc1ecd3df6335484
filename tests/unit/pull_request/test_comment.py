"""The comment of a pull request: what it says first, what it never leaves out, and how long it gets."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitops_ml.core.declaration.schema import ResolvedDeployment
from gitops_ml.core.pull_request.comment import comment
from gitops_ml.core.pull_request.facts import EnvironmentChange, Upstream, deployment_changes
from gitops_ml.core.pull_request.length import LIMIT, Part, fit
from gitops_ml.core.pull_request.policy import findings
from tests.effort import examples
from tests.unit.pull_request.builders import (
    NOW,
    deployment,
    desired,
    facts,
    gain,
    host,
    model,
    record,
    request,
    slice_of,
)
from tests.unit.pull_request.examples import FOLDER, written

OFFICE = {"schedule": "0 11 * * *", "duration": "2h", "timezone": "Europe/Zurich"}
CANARY = {"strategy": "canary", "steps": [5, 50]}


def first_line(*environments: Any, **fields: Any) -> str:
    return comment(request(*environments, **fields)).split("\n")[0]


def rules(**fields: Any) -> list[str]:
    changed = facts(desired(deployment("v1")), desired(deployment("v2")), **fields)
    return [f"{f.level} {f.what}" for f in findings(request(changed)) if "digest" not in f.what]


@pytest.mark.parametrize("name", written())
def test_the_examples_are_what_is_written_now(name: str) -> None:
    """After a meant change: python -m tests.unit.pull_request.examples."""
    assert (FOLDER / f"{name}.md").read_text() == written()[name]


@pytest.mark.parametrize(
    ("strategy", "sentence"),
    [
        ("blue-green", "all users of `churn` move from `v1` to `v2` at once, after its checks pass."),
        ("recreate", "users of `churn` get errors while `v1` is stopped and `v2` starts (recreate)."),
    ],
)
def test_the_first_line_says_what_happens_to_users(strategy: str, sentence: str) -> None:
    before, after = (desired(deployment(version, rollout={"strategy": strategy})) for version in ("v1", "v2"))
    assert first_line(facts(before, after)) == f"**`prod`**: {sentence}"


def test_a_canary_that_would_take_days_is_bold_in_the_first_line() -> None:
    verify = {"traffic": {"timeout": "30d"}}
    before, after = (desired(deployment(v, rollout=CANARY, verify=verify)) for v in ("v1", "v2"))
    line = first_line(facts(before, after, host=host(0.2)))
    assert "**in at least 3 d" in line
    assert "**which will end Inconclusive" in first_line(facts(before, after, host=host(0.01)))
    assert "today's traffic" not in first_line(facts(before, after))


def test_the_requests_that_the_canary_needs_are_told_without_a_host_too() -> None:
    before, after = (desired(deployment(version, rollout=CANARY)) for version in ("v1", "v2"))
    text = comment(request(facts(before, after, unreached="unix:///x.sock does not answer")))
    assert "requests; today's traffic is not known" in text
    assert "The host was not asked: unix:&#8203;///x.sock does not answer" in text


def test_another_file_of_an_unchanged_deployment_is_no_change() -> None:
    same = facts(desired(deployment("v1")), desired(deployment("v1")))
    assert deployment_changes(same) == []
    assert first_line(same) == "**Nothing changes for users**: no environment declares anything else than before."


def test_what_was_broken_before_is_not_blamed_on_the_pull_request() -> None:
    broken = {"fraud": "environments/prod/models/fraud.yaml: bad"}
    assert deployment_changes(facts(desired(broken=broken), desired(broken=broken))) == []
    assert [c.kind for c in deployment_changes(facts(desired(), desired(broken=broken)))] == ["broken"]


def test_a_new_deployment_is_not_judged_by_traffic() -> None:
    text = comment(request(facts(desired(), desired(deployment(rollout=CANARY)))))
    assert "`churn` `v1` begins to be served, once its checks pass" in text
    assert "canary (the first one: no incumbent) | ready and smoke |" in text


def test_a_host_where_nothing_serves_begins_without_a_canary() -> None:
    """Whatever was declared before: a blank host, or a first rollout that failed."""
    before, after = (desired(deployment(version, rollout=CANARY)) for version in ("v1", "v2"))
    text = comment(request(facts(before, after, host=host(version=None))))
    assert text.startswith(
        "**`prod`**: `churn` `v2` begins to be served, once its checks pass, since nothing serves now."
    )
    assert "canary (the first one: no incumbent) | ready and smoke | not known yet |" in text


def test_what_serves_is_named_where_it_is_not_what_was_declared() -> None:
    text = comment(request(facts(desired(deployment("v1")), desired(deployment("v2")), host=host(1.0, version="v0"))))
    assert "`v1` → `v2` (`v0` serves now)" in text


def test_the_judgement_of_the_models_is_read_before_any_table() -> None:
    checks = (gain("roc_auc", 0.7, 0.6, -0.12, -0.08), gain("brier", 0.2, 0.1, 0.05, 0.15))
    changed = facts(desired(deployment("v1")), desired(deployment("v2")))
    lines = comment(request(changed, models=(model(checks=checks),))).split("\n")
    assert lines[1] == "`churn` `v2` **is worse** on held-out rows (`roc_auc`), better by `brier`.  "[:-2]


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("better-model", "merge, and the next sync of `prod` begins the rollout"),
        ("equal-model", "merge, and the next sync of `prod` begins the rollout"),
        ("worse-model", "do not merge before somebody says why `churn` `v2` should serve"),
        ("hold", "merge; no rollout begins until the hold ends, or `gitops-ml release prod churn` ends it"),
        ("strategy", "merge; no rollout begins."),
        ("broken-file", "fix what is marked ❌ (1)"),
    ],
)
def test_the_next_step_answers_whether_to_merge(name: str, step: str) -> None:
    assert f"**Next**: {step}" in written()[name]


def test_verified_upstream_soak_and_hold_each_say_what_fixes_them() -> None:
    def upstream(version: str, minutes: int, verdict: str = "Verified") -> Upstream:
        recorded = record(version, settled=NOW - timedelta(minutes=minutes), verdict=verdict)
        return Upstream(name="staging", soak=3600.0, records={"churn": recorded})

    assert rules(upstream=upstream("v2", 90)) == [
        "met prod/churn v2 is Verified in staging since 2026-11-23 07:30",
        "met prod/churn v2 has soaked for 1 h",
    ]
    assert rules(upstream=upstream("v2", 45))[0] == ("look prod/churn: v2 must stay Verified in staging for 15 m more")
    assert rules(upstream=upstream("v3", 90)) == ["look prod/churn v2 does not stand Verified in staging: v3 does"]
    assert rules(upstream=upstream("v2", 90, "Failed")) == ["look prod/churn: staging/churn v2 is not Verified"]
    assert rules(upstream=Upstream(name="staging", soak=0, records={})) == [
        "look prod/churn: staging/churn has nothing to promote"
    ]


def test_a_closed_window_is_said_with_its_time_and_an_open_one_is_met() -> None:
    """It is nine o'clock in London, and ten in Zurich."""

    def change(after: ResolvedDeployment, **other: str) -> EnvironmentChange:
        policy = {"windows": [OFFICE | other]}
        return facts(desired(deployment("v1"), policy=policy), desired(after, policy=policy))

    def all_rules(changed: EnvironmentChange) -> list[str]:
        return [f"{f.level} {f.what}" for f in findings(request(changed))]

    closed, opened = change(deployment("v2")), change(deployment("v2"), schedule="0 9 * * *")
    assert "look prod: no rollout begins before 2026-11-23 11:00 Europe/Zurich" in all_rules(closed)
    assert "begins the rollout once its window opens (2026-11-23 11:00 Europe/Zurich)." in comment(request(closed))
    assert "met prod: rollouts may begin until 2026-11-23 11:00 Europe/Zurich" in all_rules(opened)
    assert "begins the rollout." in comment(request(opened))
    assert not [rule for rule in all_rules(change(deployment("v1", replicas=2))) if "begin" in rule]


def test_what_a_sync_would_refuse_stops_it_and_says_so_in_the_summary() -> None:
    changed = facts(
        desired(deployment("v1")), desired(deployment("v2")), unsigned="commit is not signed\n  fix: git commit -S"
    )
    text = comment(request(changed, touched_records=("environments/prod/records/churn.yaml",)))
    assert "❌ **2 rules stop it**" in text.partition("\n\n")[0]
    assert "fix: `git commit -S`" in text
    assert "**Next**: fix what is marked ❌ (2)" in text


def test_removing_more_than_the_policy_allows_waits_for_a_person() -> None:
    before = desired(*(deployment(name=f"m{n}") for n in range(4)))
    two, three = (desired(*(deployment(name=f"m{n}") for n in range(left))) for left in (2, 1))
    assert [f.what for f in findings(request(facts(before, two)))] == ["prod: m2, m3 is removed"]
    assert "that waits for a person" in findings(request(facts(before, three)))[0].what


def test_a_removed_environment_and_one_that_cannot_be_read() -> None:
    assert "keeps running, and nobody looks after it" in first_line(facts(desired(deployment()), None))
    unread = first_line(facts(desired(deployment()), None, error="environment.yaml:3: bad\n  fix: edit it"))
    assert "cannot be read: environment.yaml:3: bad" in unread


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=400)


@settings(max_examples=examples(30))
@given(
    environments=st.integers(0, 60),
    deployments=st.integers(0, 40),
    models=st.integers(0, 12),
    text=names,
    limit=st.sampled_from([LIMIT, 4_000, 900]),
)
def test_it_is_never_longer_than_a_forge_takes(
    environments: int, deployments: int, models: int, text: str, limit: int
) -> None:
    before = desired(*(deployment("v1", name=f"m{n}") for n in range(deployments)))
    after = desired(*(deployment("v2", name=f"m{n}") for n in range(deployments)), broken={text: text * 20})
    compared = model(*(slice_of(text, text, 0.5) for _ in range(12)), params={f"{text}{n}": (1, 2) for n in range(50)})
    made = comment(
        request(
            *(facts(before, after, name=f"env-{n}") for n in range(environments)),
            models=(compared,) * models,
            touched_records=(text,) * 20,
        ),
        limit,
    )
    assert len(made) <= limit
    assert made.count("<details>") == made.count("</details>") or limit < LIMIT


def test_the_least_important_part_goes_first_and_that_is_said() -> None:
    parts = [
        Part(name="the first", importance=9, forms=("a" * 50,)),
        Part(name="`slices`", importance=1, forms=("b" * 300, "")),
        Part(name="`sources`", importance=0, forms=("c" * 300, "short", "")),
    ]
    assert fit(parts, 1000) == f"{'a' * 50}\n\n{'b' * 300}\n\n{'c' * 300}"
    shortened = fit(parts, 600)
    assert "b" * 300 in shortened and "short" in shortened and "c" * 10 not in shortened
    assert shortened.endswith("65,536 characters at most: `sources`._")
    assert "b" * 300 not in fit(parts, 300)
