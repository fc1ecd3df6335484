"""What the commands that edit a declaration print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitops_ml.cli import documents, render

if TYPE_CHECKING:
    from gitops_ml.clients.edits.edit import Written


def show(written: Written, summary: str, environment: str, output: str, **details: Any) -> None:
    """Print what was written to stdout, and the next command to stderr.

    Args:
        summary: what the file declares now, in one line.
        output: what `-o` says.
        details: further fields of the JSON.
    """
    if output == "json":
        documents.show(**written._asdict(), environment=environment, **details)
        return
    if not written.changed:
        render.out(f"{written.file} says so already")
        return
    render.out(f"{written.file}: {summary}")
    if written.commit is None:
        render.progress(f"next: git commit -- {written.file}, then git push")
        return
    render.out(f"commit {written.commit[:12]} {'is' if written.pushed else 'is made'} on {written.branch}")
    render.progress(f"next: gitops-ml sync {environment}" if written.pushed else "next: git push")
