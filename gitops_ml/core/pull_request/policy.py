"""Which rules a pull request meets, and which stand against it, each with what fixes it."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Literal

import msgspec

from gitops_ml.core.declaration.windows import closed_until, open_until, readable_time
from gitops_ml.core.pull_request.effect import on_hold
from gitops_ml.core.pull_request.facts import (
    DeploymentChange,
    EnvironmentChange,
    PullRequest,
    Upstream,
    deployment_changes,
)
from gitops_ml.core.records.verified import promotable, readable_span, require_soaked, verified_attempts
from gitops_ml.errors import InputError


class RuleFinding(msgspec.Struct, frozen=True, kw_only=True):
    """One rule, in plain text. `stop`: a sync refuses it, or the plan fails. `look`: a person decides."""

    level: Literal["stop", "look", "met"]
    what: str
    why: str = ""
    fix: str = ""


def findings(request: PullRequest) -> list[RuleFinding]:
    """All rules that the pull request touches, those that stop it first."""
    found = []
    if request.touched_records:
        paths = ", ".join(request.touched_records[:5])
        more = len(request.touched_records) - 5
        found.append(
            RuleFinding(
                level="stop",
                what=f"records are edited: {paths}{f' and {more} more' if more > 0 else ''}",
                why="only gitops-ml writes them",
                fix=f"git checkout {request.base} -- {' '.join(request.touched_records[:5])}",
            )
        )
    for facts in request.environments:
        changes = deployment_changes(facts)
        found += _environment(facts, changes)
        for change in changes:
            found += _deployment(facts, change)
    order = ("stop", "look", "met")
    return sorted(found, key=lambda finding: order.index(finding.level))


def _environment(facts: EnvironmentChange, changes: list[DeploymentChange]) -> list[RuleFinding]:
    if facts.error:
        return [_of_text(facts.name, facts.error)]
    found = []
    before, after = facts.before, facts.after
    if facts.unsigned:
        found.append(_of_text(facts.name, facts.unsigned))
    elif after is not None and after.environment.policy.require_signed_commits:
        found.append(
            RuleFinding(level="met", what=f"{facts.name}: each commit that touches it is signed by an allowed key")
        )
    found += _windows(facts, changes)
    found += _removals(facts, changes)
    if before is not None and after is not None and before.environment != after.environment:
        old, new = msgspec.to_builtins(before.environment), msgspec.to_builtins(after.environment)
        keys = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
        risky = {"engine": "it runs on another host then", "gateway": "the gateway is replaced", "policy": ""}
        why = "; ".join(filter(None, (risky.get(key, "") for key in keys)))
        found.append(
            RuleFinding(level="look", what=f"{facts.name}: environment.yaml changes {', '.join(keys)}", why=why)
        )
    return found


def _windows(facts: EnvironmentChange, changes: list[DeploymentChange]) -> list[RuleFinding]:
    """When the rollouts of the change may begin."""
    if not facts.windows or not any(change.rolls_out for change in changes):
        return []
    if closes := open_until(facts.windows, facts.now):
        return [RuleFinding(level="met", what=f"{facts.name}: rollouts may begin until {readable_time(closes)}")]
    if (opens := closed_until(facts.windows, facts.now)) is None:
        return []
    return [
        RuleFinding(
            level="look",
            what=f"{facts.name}: no rollout begins before {readable_time(opens)}",
            why="its policy.windows are closed; a return to a version that was Verified there does not wait",
        )
    ]


def _removals(facts: EnvironmentChange, changes: list[DeploymentChange]) -> list[RuleFinding]:
    removed = [change.name for change in changes if change.kind == "removed"]
    if not removed or facts.before is None or facts.after is None:
        return []
    allowed = facts.after.environment.policy.max_removals
    total = len(facts.before.deployments)
    too_many = len(removed) == total or len(removed) > math.floor(total * int(allowed.rstrip("%")) / 100)
    refused = bool(set(removed) & set(facts.host.refused)) if facts.host else too_many
    names = ", ".join(removed[:5]) + (f" and {len(removed) - 5} more" if len(removed) > 5 else "")
    if refused:
        return [
            RuleFinding(
                level="look",
                what=f"{facts.name}: {names} would be removed, and that waits for a person",
                why=f"they are all, or more than policy.max_removals ({allowed}) allows in one pass",
                fix=f"gitops-ml sync {facts.name} --confirm-removals",
            )
        ]
    return [RuleFinding(level="look", what=f"{facts.name}: {names} is removed", why=f"within max_removals ({allowed})")]


def _deployment(facts: EnvironmentChange, change: DeploymentChange) -> list[RuleFinding]:
    where = f"{facts.name}/{change.name}"
    if change.broken:
        return [_of_text(where, change.broken)]
    if change.after is None or facts.after is None:
        return []
    declared = change.after.declaration
    found = []
    if on_hold(facts, change) and declared.hold:
        until = f" until {declared.hold.until:%Y-%m-%d %H:%M %Z}" if declared.hold.until else ""
        found.append(
            RuleFinding(
                level="look",
                what=f"{where} is on hold{until}",
                why=declared.hold.reason,
                fix=f"gitops-ml release {facts.name} {change.name}",
            )
        )
    if not change.rolls_out:
        return found
    if declared.serve.uses_artifact:
        found.append(_pinned(facts, change))
    if declared.serve.allow_pickle and not (change.before and change.before.declaration.serve.allow_pickle):
        found.append(
            RuleFinding(level="look", what=f"{where} loads a pickle now", why="it may run any code, in its container")
        )
    if change.name in facts.unjudgeable:
        why, fix = facts.unjudgeable[change.name]
        found.append(
            RuleFinding(level="look", what=f"{where}: its hold-out can only end Inconclusive", why=why, fix=fix)
        )
    if facts.upstream and (change.before is None or change.other_model):
        found += _promotion(facts, facts.upstream, change)
    if reason := facts.overrides.get(change.name):
        found.append(
            RuleFinding(level="look", what=f"{where} is promoted against the rules, by --override", why=reason)
        )
    status = facts.host.statuses.get(change.name) if facts.host else None
    if status and status.verification == "Failed" and status.version != declared.version:
        found.append(
            RuleFinding(
                level="look",
                what=f"{where} {declared.version} failed here before, and is not tried again",
                why=status.message,
                fix=f"gitops-ml sync {facts.name} --retry",
            )
        )
    return found


def _pinned(facts: EnvironmentChange, change: DeploymentChange) -> RuleFinding:
    where = f"{facts.name}/{change.name}"
    declared = change.after.declaration if change.after else None
    if declared is not None and declared.digest is not None:
        return RuleFinding(
            level="met", what=f"{where}: {declared.version} holds the declared digest {declared.digest[:16]}"
        )
    version = declared.version if declared else ""
    return RuleFinding(
        level="look",
        what=f"{where} declares no digest",
        why="if its tag moves, other bytes are served without a change in this file",
        fix=f"gitops-ml bump {facts.name} {change.name} {version}",
    )


def _promotion(facts: EnvironmentChange, upstream: Upstream, change: DeploymentChange) -> list[RuleFinding]:
    """Whether the version stands Verified in the environment that it comes from, and for long enough."""
    assert change.after is not None
    where, version = f"{facts.name}/{change.name}", change.after.declaration.version
    record = upstream.records.get(change.name)
    promote = f"gitops-ml promote {change.name} --to {facts.name}"
    try:
        standing, since = promotable(upstream.name, change.name, record)
    except InputError as error:
        return [RuleFinding(level="look", what=f"{where}: {error.what}", why=error.why, fix=error.fix)]
    if standing.digest.removesuffix(".dir") != change.after.digest.removesuffix(".dir"):
        once = any(attempt.digest == change.after.digest for attempt in verified_attempts(record)) if record else False
        return [
            RuleFinding(
                level="look",
                what=f"{where} {version} does not stand Verified in {upstream.name}: {standing.version} does",
                why="it was Verified there before, and was replaced" if once else "nobody has judged it there",
                fix=promote,
            )
        ]
    found = [
        RuleFinding(level="met", what=f"{where} {version} is Verified in {upstream.name} since {since:%Y-%m-%d %H:%M}")
    ]
    soak = timedelta(seconds=upstream.soak)
    if soak:
        try:
            require_soaked(upstream.name, version, since, soak, facts.now)
        except InputError as error:
            found.append(RuleFinding(level="look", what=f"{where}: {error.what}", why=error.why, fix="merge it then"))
        else:
            found.append(RuleFinding(level="met", what=f"{where} {version} has soaked for {readable_span(soak)}"))
    return found


def _of_text(where: str, text: str) -> RuleFinding:
    """A finding of an error's text, with its reason and its fix taken apart again."""
    what, _, fix = text.partition("\n  fix: ")
    return RuleFinding(level="stop", what=what if what.startswith(where) else f"{where}: {what}", fix=fix)
