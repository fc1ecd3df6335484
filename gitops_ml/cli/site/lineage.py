"""The lineage of what serves, as the page shows it: `trace`, step by step from the container to the data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitops_ml.cli.training.subject import recorded_subject
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.text import clean_line
from gitops_ml.errors import GitopsError
from gitops_ml.page.facts import DeploymentFacts, Origin
from gitops_ml.retraining.provenance import Step, Trace, trace

_SHOWN = 40


def lineage_of(repo: Repository, facts: DeploymentFacts) -> tuple[Origin, ...]:
    """The steps back from the container of a deployment to the data; none if nothing serves."""
    record, status = facts.record, facts.status
    if record is None or record.serving is None:
        return ()
    subject = recorded_subject(facts.environment, facts.name, facts.model or facts.name, record.serving)
    if status and status.generation != record.serving.generation:
        return (Origin("generation", status.generation, ("its verdict is not in Git yet",)),)
    try:
        return tuple(_origins(trace(repo, subject, record)))
    except GitopsError as error:
        return (Origin("generation", record.serving.generation, (clean_line(str(error)),)),)


def _origins(traced: Trace) -> Iterator[Origin]:
    yield Origin("Container", traced.image or "its image is not recorded", (f"generation {traced.generation}",))
    if traced.application:
        application = traced.application.image or f"built from {traced.application.context}/"
        yield Origin("Application", clean_line(application))
        yield from _step("Changed by commit", traced.application.changed)
    yield from _step("Deployed by commit", traced.declared)
    yield from _step("Declared by commit", traced.bumped)
    tag = (f"tag {traced.tag} by {traced.tagger}",) if traced.tag else ()
    missing = (traced.missing,) if traced.missing else ()
    yield Origin("Version", f"{traced.model} {traced.version}", _clean((*tag, *missing, f"digest {traced.digest}")))
    yield from _step("Trained in commit", traced.trained)
    learnt = traced.learnt or {}
    if learnt.get("from"):
        yield Origin("Learnt from", f"{learnt['rows']:,} rows, {learnt['from']} to {learnt['to']}")
    yield from _values("Data of the pipeline", traced.made.data)
    yield from _values("Inputs", traced.made.inputs)
    yield from _values("Parameters", traced.made.params)


def _step(kind: str, step: Step | None) -> Iterator[Origin]:
    if step:
        yield Origin(kind, clean_line(f"{step.commit[:12]} {step.subject}"), _clean((f"{step.author}, {step.at}",)))


def _values(kind: str, values: dict[str, Any]) -> Iterator[Origin]:
    if values:
        lines = [clean_line(f"{name}: {value}", 160) for name, value in list(values.items())[:_SHOWN]]
        rest = len(values) - len(lines)
        yield Origin(kind, f"{len(values):,}", (*lines, *([f"and {rest:,} more"] if rest else [])))


def _clean(lines: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(clean_line, lines))
