"""What the demo holds against its story: a difference is a `GitopsError`, and ends it."""

from __future__ import annotations

from statistics import median

from gitops_ml.cli.demo.steady_load import Report
from gitops_ml.cli.demo.team import DECLARATION, Team
from gitops_ml.errors import GitopsError


def expect(true: bool, told: str) -> None:
    """Raises `GitopsError` when something is not as it is told; `told` says how it should be, and how it is."""
    if not true:
        raise GitopsError(f"not as it is told: {told}", fix="gitops-ml demo tells it anew; look at its log.txt first")


def expect_none_failed(report: Report) -> None:
    """Raises `GitopsError` when a user's request failed, or none was sent."""
    expect(
        report.sent > 0 and report.failed == 0,
        f"no request of {report.sent} failed; {report.failed} did: {report.errors}",
    )


def expect_verified(team: Team, version: str, *, replicas: int = 1) -> None:
    """Raises `GitopsError` unless dev runs `version`, whole, verified and as declared."""
    found = team.status()
    now = [found[key] for key in ("version", "sync", "health", "verification")]
    expect(
        now == [version, "Synced", "Healthy", "Verified"] and found["replicas"]["ready"] == replicas,
        f"dev runs {version} Synced, Healthy, Verified with {replicas} replicas; it is {' '.join(now)} "
        f"with {found['replicas']['ready']}",
    )


def asked(report: Report) -> str:
    """What became of the users' requests, in one phrase."""
    shares = ", ".join(f"{count:,} by {version}" for version, count in sorted(report.versions.items()))
    return (
        f"{report.sent:,} requests were sent, {report.failed} failed ({shares}; "
        f"median {1000 * median(report.latencies):.0f} ms, 99 % within {1000 * report.quantile(0.99):.0f} ms)"
    )


def declared(team: Team, key: str) -> str | None:
    """A top-level key of the declaration, as the clone has it."""
    lines = (team.ground.clone / DECLARATION).read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(f"{key}:")), None)


def show_revert(team: Team) -> list[str]:
    """Take what gitops-ml has committed, and show it; the lines of the declaration that it changed."""
    team.pull()
    team.run("git", "show", "--stat", "--format=%h %an: %s", typed="git show --stat")
    command = ("git", "show", "--format=", "--unified=0", "HEAD", "--", DECLARATION)
    ran = team.run(*command, typed=f"git show --unified=0 HEAD -- {DECLARATION}", only=_changed_line)
    return [line for line in ran.said.splitlines() if _changed_line(line)]


def _changed_line(line: str) -> bool:
    return line[:1] in ("+", "-") and line[:3] not in ("+++", "---")
