"""Lines that are too wide for a terminal are broken at spaces, and never inside a word or a command."""

from __future__ import annotations

import pytest

from gitops_ml.cli.wrapping import fit
from tests.printed_templates import PROGRAMS, PROSE, printed


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        ("a short line", ["a short line"]),
        (
            "error: the image of v1.0.0 was not built: no space left",
            ["error: the image of v1.0.0 was", "  not built: no space left"],
        ),
        (
            "  fix: git add x && git commit && git push; or git pull, if it is behind",
            ["  fix: git add x && git commit && git push;", "       or git pull, if it is", "       behind"],
        ),
        (
            "next: gitops-ml bump staging churn v1.0.0 --create",
            ["next: gitops-ml bump staging churn v1.0.0 --create"],
        ),
        (
            "  fix: wait, or `gitops-ml sync prod --break-lock 0123456789` and so on",
            ["  fix: wait, or", "       `gitops-ml sync prod --break-lock 0123456789`", "       and so on"],
        ),
        (
            "  fix: restore it, or take it away: docker rm -f $(docker ps -aq)",
            ["  fix: restore it, or take it", "       away:", "       docker rm -f $(docker ps -aq)"],
        ),
    ],
)
def test_prose_is_broken_at_spaces_and_commands_stay_whole(line: str, lines: list[str]) -> None:
    assert fit(line, 32).split("\n") == lines


def test_no_printed_command_is_broken() -> None:
    """However narrow the terminal is, only where the sentence goes on does a line end."""
    for template in printed():
        text = PROSE.sub("", template.removeprefix("next: "))
        fitted = fit(f"  fix: {text}", 30)
        for line in fitted.split("\n")[1:]:
            assert not line.strip().startswith(("&&", "|", "<", "--filter")), line
        assert " ".join(fitted.split()) == f"fix: {' '.join(text.split())}"
        for match in PROGRAMS.finditer(text):
            assert match[0] in fit(text, 30), "the program's name and its first word stay together"
