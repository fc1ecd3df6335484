"""What a change does to users, in one sentence for each environment, and the row of each deployment in its table."""

from __future__ import annotations

import math
from datetime import timedelta

from gitops_ml.core.declaration.checks import SubscribersCheck, Traffic
from gitops_ml.core.declaration.schema import Deployment, ResolvedDeployment
from gitops_ml.core.planning.canary import MIRROR_PERCENT, stages
from gitops_ml.core.pull_request.duration import Expected, expected
from gitops_ml.core.pull_request.facts import DeploymentChange, EnvironmentChange
from gitops_ml.core.pull_request.markdown import code, prose
from gitops_ml.core.records.verified import readable_span

_NAMED = 3
"""How many deployments a sentence describes. The table has all of them."""
_NOTHING = "nothing changes for users"
_A_DAY = 86_400.0


def sentence(facts: EnvironmentChange, changes: list[DeploymentChange]) -> str:
    """What will happen to the users of an environment, in Markdown."""
    if facts.error:
        return f"nothing is deployed, since the environment cannot be read: {prose(facts.error.partition(chr(10))[0])}"
    if facts.after is None:
        return "the environment is no longer declared; what runs there keeps running, and nobody looks after it"
    acting = [change for change in changes if _touches_users(facts, change)]
    if not acting:
        settings = facts.before is not None and facts.before.environment != facts.after.environment
        if settings:
            return "the environment's settings change, and no deployment does"
        names = ", ".join(code(change.name) for change in changes[:_NAMED])
        return f"nothing changes for users now; how {names} will be rolled out or judged does" if changes else _NOTHING
    parts = [_effect(facts, change) for change in acting[:_NAMED]]
    more = len(acting) - _NAMED
    return "; ".join(parts) + (f"; and {more} more {'changes' if more > 1 else 'change'}" if more > 0 else "")


def _touches_users(facts: EnvironmentChange, change: DeploymentChange) -> bool:
    return change.kind != "changed" or change.rolls_out or "replicas" in change.fields or on_hold(facts, change)


def on_hold(facts: EnvironmentChange, change: DeploymentChange) -> bool:
    """Whether a hold keeps the change from being rolled out now."""
    hold = change.after.declaration.hold if change.after else None
    return hold is not None and hold.in_force(facts.now)


def _effect(facts: EnvironmentChange, change: DeploymentChange) -> str:
    name = code(change.name)
    if change.broken:
        return f"{name} stays as it is, since its file cannot be accepted"
    if change.after is None:
        refused = facts.host is not None and change.name in facts.host.refused
        if refused:
            return f"{name} keeps being served: its removal waits for a person's confirmation"
        return f"{name} is no longer served, and requests to it get 404"
    if on_hold(facts, change):
        return f"{name} stays as it is, since it is on hold; {_version(change.after)} waits"
    if _is_first(facts, change) and change.rolls_out:
        now = ", since nothing serves now" if change.before else ""
        return f"{name} {_version(change.after)} begins to be served, once its checks pass{now}"
    if not change.rolls_out:
        old, new = change.fields["replicas"]
        return f"{name} runs {code(str(new))} replicas instead of {code(str(old))}, and no request is dropped"
    assert change.before is not None
    return _rollout(facts, change, change.before, change.after)


def _is_first(facts: EnvironmentChange, change: DeploymentChange) -> bool:
    """Whether nothing serves. An engine tells that; without one, what was declared is taken to serve."""
    return change.name not in facts.host.serving if facts.host else change.before is None


def _rollout(
    facts: EnvironmentChange, change: DeploymentChange, before: ResolvedDeployment, after: ResolvedDeployment
) -> str:
    name, old, new = code(change.name), _version(before), _version(after)
    other = "in another application" if _other_application(before, after) else "with other settings"
    what = f"from {old} to {new}" if old != new else f"to {new} {other}"
    duration = duration_of(facts, change)
    match after.declaration.rollout.strategy:
        case "recreate":
            return f"users of {name} get errors while {old} is stopped and {new} starts (recreate)"
        case "blue-green":
            return f"all users of {name} move {what} at once, after its checks pass"
        case "canary":
            return f"users of {name} move {what} in steps of {_steps(after.declaration)}{_within(duration)}"
        case _:
            then = "step by step" if after.declaration.rollout.then == "canary" else "at once"
            return (
                f"users of {name} keep getting {old} while {new} answers copies of their requests{_within(duration)}; "
                f"then they move {then}"
            )


def _other_application(before: ResolvedDeployment, after: ResolvedDeployment) -> bool:
    """Whether a model stays and what it is embedded in changes."""
    applications = [each.application.content if each.application else "" for each in (before, after)]
    return applications[0] != applications[1]


def _within(duration: Expected | None) -> str:
    if duration is None:
        return ""
    if duration.too_long is not None:
        return ", **which will end Inconclusive: there is too little traffic**"
    if duration.seconds is None or duration.measured:
        return ""
    text = f", in at least {_span(duration.seconds)} at today's traffic"
    return f", **{text.removeprefix(', ')}**" if duration.seconds >= _A_DAY else text


def duration_of(facts: EnvironmentChange, change: DeploymentChange) -> Expected | None:
    """How long the change's rollout takes; None where there is none."""
    if change.after is None or not change.rolls_out or on_hold(facts, change):
        return None
    rate = facts.host.rates.get(change.name, 0.0) if facts.host else None
    record = facts.records.get(change.name)
    return expected(change.after.declaration, rate, record, first=_is_first(facts, change))


HEAD = ("Deployment", "From → to", "Strategy", "What decides", "Expected duration")


def row(facts: EnvironmentChange, change: DeploymentChange) -> tuple[str, ...]:
    """The row of a deployment in the table of `HEAD`."""
    if change.broken:
        return code(change.name), "cannot be accepted", "-", "-", "-"
    if change.after is None:
        old = _version(change.before) if change.before else "-"
        return code(change.name), f"{old} → removed", "-", "-", "-"
    declaration = change.after.declaration
    first = _is_first(facts, change)
    shows_checks = change.rolls_out or {"rollout", "verify"} & change.fields.keys()
    return (
        code(change.name),
        _from_to(facts, change),
        _strategy(declaration, first=first) if change.rolls_out else _later_strategy(change),
        decided_by(declaration, first=first) if shows_checks else "-",
        "on hold" if on_hold(facts, change) else _duration_cell(facts, change),
    )


def _from_to(facts: EnvironmentChange, change: DeploymentChange) -> str:
    old = _version(change.before) if change.before else "new"
    new = _version(change.after) if change.after else "removed"
    cell = f"{old} → {new}" if old != new else f"{new}, other {', '.join(code(key) for key in change.fields)}"
    serving = facts.host.serving.get(change.name) if facts.host else None
    if serving and change.before and serving != change.before.declaration.version:
        cell += f" ({code(serving)} serves now)"
    return cell


def _duration_cell(facts: EnvironmentChange, change: DeploymentChange) -> str:
    duration = duration_of(facts, change)
    if duration is None:
        return "-"
    if duration.requests is None:
        return f"{_span(duration.seconds)} last time" if duration.seconds is not None else "not known yet"
    requests = f"{duration.requests:,} requests"
    if facts.host is None:
        return f"at least {requests}; today's traffic is not known"
    if duration.seconds is None:
        return f"**never**: at least {requests}, and none came in {_span(facts.host.seconds)}"
    cell = f"at least {_span(duration.seconds)}: {requests} at {facts.host.rates.get(change.name, 0.0):.2g}/s"
    if duration.too_long is not None and change.after is not None:
        allowed = (change.after.declaration.verify.traffic or Traffic()).timeout
        return f"**{cell}, and `verify.traffic.timeout` is {code(allowed)}**"
    return f"**{cell}**" if duration.seconds >= _A_DAY else cell


def _strategy(declaration: Deployment, *, first: bool) -> str:
    strategy = declaration.rollout.strategy
    if first:
        return f"{strategy} (the first one: no incumbent)"
    if strategy == "canary":
        return f"canary {_steps(declaration)}"
    return f"shadow, then {declaration.rollout.then}" if strategy == "shadow" else strategy


def _later_strategy(change: DeploymentChange) -> str:
    """The strategy of a change that begins no rollout, if it is another one."""
    if change.before is None or change.after is None or "rollout" not in change.fields:
        return "no rollout"
    old, new = (_strategy(each.declaration, first=False) for each in (change.before, change.after))
    return f"no rollout now; the next one is {f'{new} instead of {old}' if old != new else new}"


def _steps(declaration: Deployment) -> str:
    shares = [str(s.percent) for s in stages(declaration.rollout, "canary") if s.percent < MIRROR_PERCENT]
    return f"{', '.join(shares)} %"


def decided_by(declaration: Deployment, *, first: bool) -> str:
    """The checks that decide on a rollout, in Markdown."""
    verify = declaration.verify
    parts = ["ready and smoke"]
    if verify.holdout:
        bounds = []
        for metric, bound in verify.holdout.metrics.items():
            limits = {"≥ ": bound.min, "≤ ": bound.max, "drop ≤ ": bound.max_drop}
            bounds += [f"{code(metric)} {word}{value:g}" for word, value in limits.items() if value is not None]
        parts.append(f"held-out rows ({', '.join(bounds)})")
    if declaration.serve.pattern == "publish" and declaration.rollout.strategy == "canary" and not first:
        check = verify.subscribers or SubscribersCheck()
        errors = "" if check.max_errors is None else f" and at most {check.max_errors:.3g} of its scorings fail"
        load = f"at least {check.min_loaded:.0%} of each share load it{errors}"
        parts.append(f"subscribers ({load}, within {code(check.timeout)})")
    elif declaration.rollout.strategy in ("canary", "shadow") and not first:
        traffic = verify.traffic or Traffic()
        slow = f", slower than {code(traffic.slow)} counts as bad" if traffic.slow else ""
        parts.append(f"users' requests (at most {traffic.max_bad_increase:.3g} more bad ones in each{slow})")
    parts += [f"{code(check.name)}" for check in verify.own]
    return ", ".join(parts)


def _version(deployment: ResolvedDeployment) -> str:
    return code(deployment.declaration.version, 40)


def _span(seconds: float) -> str:
    return readable_span(timedelta(seconds=math.ceil(seconds)))
