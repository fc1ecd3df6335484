"""The comment under a pull request: written first for the reader who has half a minute.

Its parts, in this order: a sentence for each environment, a table for each, the models, the rules, and what to do next.
Everything that takes longer to read is folded.
"""

from __future__ import annotations

from gitops_ml.core.declaration.windows import closed_until, readable_time
from gitops_ml.core.pull_request.effect import HEAD, on_hold, row, sentence
from gitops_ml.core.pull_request.facts import DeploymentChange, EnvironmentChange, PullRequest, deployment_changes
from gitops_ml.core.pull_request.length import LIMIT, Part, fit
from gitops_ml.core.pull_request.markdown import code, details, prose, table
from gitops_ml.core.pull_request.model_section import is_worse, model_section
from gitops_ml.core.pull_request.policy import RuleFinding, findings

EnvironmentChanges = tuple[EnvironmentChange, list[DeploymentChange]]

_SENTENCES, _ROWS, _FINDINGS = 20, 100, 40
_SHORT_ROWS = 10
_SIGNS = {"stop": "❌", "look": "⚠️", "met": "✅"}
_WORDS = {"stop": "stops it", "look": "look at this", "met": "met"}


def comment(request: PullRequest, limit: int = LIMIT) -> str:
    """Write the comment in Markdown, in at most `limit` characters."""
    changed = [(facts, changes) for facts, changes in _with_changes(request) if _is_changed(facts, changes)]
    rules = findings(request)
    parts = [
        Part(name="the summary", importance=9, forms=(_summary(request, changed, rules),)),
        *(_environment_part(facts, changes) for facts, changes in changed),
        *_model_parts(request),
        _rules_part(rules),
        Part(name="the next step", importance=8, forms=(_next_step(changed, rules, _worse(request)), "")),
        Part(name="the commits", importance=7, forms=(_commits(request), "")),
    ]
    return fit([part for part in parts if part.forms[0]], limit)


def has_changes(request: PullRequest) -> bool:
    """Whether any environment is declared otherwise than before."""
    return any(_is_changed(facts, changes) for facts, changes in _with_changes(request))


def _with_changes(request: PullRequest) -> list[EnvironmentChanges]:
    return [(facts, deployment_changes(facts)) for facts in request.environments]


def _is_changed(facts: EnvironmentChange, changes: list[DeploymentChange]) -> bool:
    if facts.error or changes or (facts.before is None) != (facts.after is None):
        return True
    return facts.before is not None and facts.after is not None and facts.before.environment != facts.after.environment


def _summary(request: PullRequest, changed: list[EnvironmentChanges], rules: list[RuleFinding]) -> str:
    lines = [f"**{code(facts.name)}**: {sentence(facts, changes)}." for facts, changes in changed[:_SENTENCES]]
    if len(changed) > _SENTENCES:
        lines.append(f"and {len(changed) - _SENTENCES} more environments change.")
    for model in request.models[:_SENTENCES]:
        if judgement := model_section(model).judgement:
            lines.append(f"{code(model.model)} {code(model.after, 40)} {judgement}.")
    names = {facts.name for facts, _ in changed}
    same = [facts.name for facts in request.environments if facts.name not in names]
    if same and lines:
        shown = ", ".join(code(name) for name in same[:_SENTENCES])
        lines.append(f"Nothing changes for users of {shown}{' and others' if len(same) > _SENTENCES else ''}.")
    if not lines:
        lines.append("**Nothing changes for users**: no environment declares anything else than before.")
    stops = sum(rule.level == "stop" for rule in rules)
    if stops:
        lines.append(f"{_SIGNS['stop']} **{stops} {'rules stop' if stops > 1 else 'rule stops'} it**, see below.")
    return "  \n".join(lines)


def _environment_part(facts: EnvironmentChange, changes: list[DeploymentChange]) -> Part:
    name = f"the table of {code(facts.name)}"
    if not changes:
        return Part(name=name, importance=6, forms=("",))
    return Part(
        name=name,
        importance=6,
        forms=(*(_environment_table(facts, changes, rows) for rows in (_ROWS, _SHORT_ROWS)), ""),
    )


def _environment_table(facts: EnvironmentChange, changes: list[DeploymentChange], rows: int) -> str:
    lines = [f"### {code(facts.name)}", table(HEAD, [row(facts, change) for change in changes[:rows]])]
    if len(changes) > rows:
        lines.append(f"and {len(changes) - rows:,} more deployments")
    if facts.host is None and facts.unreached:
        lines.append(f"The host was not asked: {prose(facts.unreached.partition(chr(10))[0])}")
    return "\n\n".join(lines)


def _rules_part(rules: list[RuleFinding]) -> Part:
    if not rules:
        return Part(name="the rules", importance=5, forms=("",))
    open_rules = [rule for rule in rules if rule.level != "met"]
    met = [rule for rule in rules if rule.level == "met"]
    title = "### Rules"
    lines = [_rule(rule) for rule in open_rules[:_FINDINGS]]
    if len(open_rules) > _FINDINGS:
        lines.append(f"- and {len(open_rules) - _FINDINGS} more")
    folded = ""
    if met:
        listed = [_rule(rule) for rule in met[:_FINDINGS]]
        more = [f"- and {len(met) - _FINDINGS} more"] if len(met) > _FINDINGS else []
        folded = details(f"{_SIGNS['met']} {len(met)} met", "\n".join([*listed, *more]))
    counts = {level: sum(rule.level == level for rule in rules) for level in _SIGNS}
    short = ", ".join(f"{_SIGNS[level]} {count} {_WORDS[level]}" for level, count in counts.items() if count)
    texts = [title, *(["\n".join(lines)] if lines else [])]
    return Part(
        name="the rules",
        importance=5,
        forms=("\n\n".join([*texts, *([folded] if folded else [])]), "\n\n".join(texts), f"{title}\n\n{short}"),
    )


def _rule(rule: RuleFinding) -> str:
    why = f": {prose(rule.why)}" if rule.why else ""
    fix = f"; fix: {code(rule.fix.replace('`', ''), 300)}" if rule.fix else ""
    return f"- {_SIGNS[rule.level]} {prose(rule.what)}{why}{fix}"


def _worse(request: PullRequest) -> list[str]:
    """The bumped models that are worse on the same rows, with their new versions."""
    return [f"{code(m.model)} {code(m.after, 40)}" for m in request.models if is_worse(m)]


def _next_step(changed: list[EnvironmentChanges], rules: list[RuleFinding], worse: list[str]) -> str:
    stops = sum(rule.level == "stop" for rule in rules)
    if stops:
        return f"**Next**: fix what is marked {_SIGNS['stop']} ({stops}), and push; this comment is then written anew."
    rollouts = [(f.name, c.name) for f, changes in changed for c in changes if c.rolls_out and not on_hold(f, c)]
    if not rollouts:
        held = [(f.name, c.name) for f, changes in changed for c in changes if c.rolls_out]
        if held:
            released = code(f"gitops-ml release {' '.join(held[0])}")
            return f"**Next**: merge; no rollout begins until the hold ends, or {released} ends it."
        return "**Next**: merge; no rollout begins." if changed else ""
    if worse:
        models = " and ".join(worse[:_SENTENCES])
        return (
            f"**Next**: do not merge before somebody says why {models} should serve: users lose by "
            f"{'it' if len(worse) == 1 else 'them'}. If merged, the checks above decide, and what fails is put back."
        )
    (name, deployment), names = rollouts[0], list(dict.fromkeys(environment for environment, _ in rollouts))
    opens = next((closed_until(f.windows, f.now) for f, _ in changed if f.name == name), None)
    begins = f"begins the rollout once its window opens ({readable_time(opens)})" if opens else "begins the rollout"
    others = f" (and {', '.join(code(other) for other in names[1:4])})" if len(names) > 1 else ""
    return (
        f"**Next**: merge, and the next sync of {code(name)}{others} {begins}. Its verdict comes back as a "
        f"commit. Follow it: {code(f'gitops-ml wait {name}')}. Go back: "
        f"{code(f'gitops-ml rollback {name} {deployment}')}."
    )


def _model_parts(request: PullRequest) -> list[Part]:
    parts = []
    for facts in request.models:
        section = model_section(facts)
        title = f"### {section.title}\n\n{section.headline}"
        name = section.title
        parts += [
            Part(name=name, importance=4, forms=(title, "")),
            Part(name=f"the metrics of {name}", importance=3, forms=(section.metrics, "")),
            Part(name=f"the slices of {name}", importance=1, forms=(section.slices, "")),
            Part(name=f"the sources of {name}", importance=0, forms=(section.sources, "")),
        ]
    return parts


def _commits(request: PullRequest) -> str:
    hosts = [facts for facts in request.environments if facts.host is not None]
    asked = f", and {', '.join(code(facts.name) for facts in hosts[:_SENTENCES])} as the host is now" if hosts else ""
    return f"<sub>{code(request.project)}: {code(request.head[:12])} against {code(request.base[:12])}{asked}.</sub>"
