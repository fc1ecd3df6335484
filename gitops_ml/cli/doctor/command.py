"""`doctor`: check what is there and what is missing, and name the command that fixes it. Changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gitops_ml.cli import documents, options, render
from gitops_ml.errors import GitopsError

if TYPE_CHECKING:
    from gitops_ml.cli.doctor.findings import Finding


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(doctor)


def doctor(
    environment: options.OneEnvironment = None,
    output: options.Output = "text",
    repo: options.Repo = Path(),
) -> None:
    """Check this machine, the clone, its files and the engines. Exit 0 all is there, 1 something needed is missing.

    It starts one short-lived container per environment, to see whether containers start, how full the disk is, and
    whether the gateway's port is free. It pushes an empty commit to a ref of its own, and removes it, to see whether
    records can be pushed.
    """
    from gitops_ml.cli.doctor.findings import INDENT

    findings = []
    for finding in examine(repo, environment):
        findings.append(finding)
        if output == "text":
            render.out_prose(finding.line(render.paint), indent=INDENT)
    complete = all(finding.state != "missing" for finding in findings)
    documents.show(ok=complete, findings=findings)
    if not complete:
        raise typer.Exit(1)


def examine(path: Path, environment: str | None) -> Iterator[Finding]:
    """Check everything, in the order in which one thing needs the other."""
    from gitops_ml.cli.doctor import clone as doctor_clone
    from gitops_ml.cli.doctor import engine, operator
    from gitops_ml.cli.doctor.findings import missing
    from gitops_ml.clients.git.repository import Repository

    yield from doctor_clone.machine()
    yield from operator.settings(os.environ)
    try:
        clone = Repository.open(path)
    except GitopsError as error:
        yield missing("repository", error)
        return
    with clone:
        yield from doctor_clone.clone(clone)
        findings, declared = doctor_clone.declared(clone, environment)
        yield from findings
        yield from engine.engines(clone, declared)
