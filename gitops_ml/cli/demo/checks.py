"""Checks that the story is true. A difference is a `GitopsError`, and ends the demo."""

from __future__ import annotations

from statistics import median

from gitops_ml.cli.demo.steady_load import Report
from gitops_ml.cli.demo.team import DECLARATION, Team
from gitops_ml.errors import GitopsError


def expect(true: bool, claim: str) -> None:
    """Raise `GitopsError` if the story is not true. `claim` says how it should be, and how it is."""
    if not true:
        raise GitopsError(
            f"the story is not true: {claim}", fix="read the demo's log.txt; `gitops-ml demo` starts again"
        )


def expect_none_failed(report: Report) -> None:
    """Raise `GitopsError` if a user's request failed, or if none was sent."""
    expect(
        report.sent > 0 and report.failed == 0,
        f"no request of {report.sent} failed; {report.failed} did: {report.errors}",
    )


def expect_verified(team: Team, version: str, *, replicas: int = 1) -> None:
    """Raise `GitopsError` unless dev runs `version`, Synced, Healthy and Verified."""
    status = team.status()
    now = [status[key] for key in ("version", "sync", "health", "verification")]
    expect(
        now == [version, "Synced", "Healthy", "Verified"] and status["replicas"]["ready"] == replicas,
        f"dev runs {version} Synced, Healthy, Verified with {replicas} replicas; it is {' '.join(now)} "
        f"with {status['replicas']['ready']}",
    )


def asked(report: Report) -> str:
    """How the users' requests ended, in one phrase."""
    shares = ", ".join(f"{count:,} by {version}" for version, count in sorted(report.versions.items()))
    return (
        f"{report.sent:,} requests were sent, {report.failed} failed ({shares}; "
        f"median {1000 * median(report.latencies):.0f} ms, 99 % within {1000 * report.quantile(0.99):.0f} ms)"
    )


def declared(team: Team, key: str) -> str | None:
    """The value of a top-level key of the declaration, in the clone."""
    lines = (team.place.clone / DECLARATION).read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(f"{key}:")), None)


def show_revert(team: Team) -> list[str]:
    """Pull and show what gitops-ml has committed. Returns the changed lines of the declaration."""
    team.pull()
    team.run("git", "show", "--stat", "--format=%h %an: %s", typed="git show --stat")
    command = ("git", "show", "--format=", "--unified=0", "HEAD", "--", DECLARATION)
    ran = team.run(*command, typed=f"git show --unified=0 HEAD -- {DECLARATION}", only=_changed_line)
    return [line for line in ran.lines.splitlines() if _changed_line(line)]


def _changed_line(line: str) -> bool:
    return line[:1] in ("+", "-") and line[:3] not in ("+++", "---")
