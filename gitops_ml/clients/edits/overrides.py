"""Overrides: a person's reason for a promotion that the rules refuse, kept as a trailer of its commit.

The commit is the one place of the fact. `history` and the comment of a pull request read it from there.
"""

from __future__ import annotations

import re

from gitops_ml.clients.git.history import Commit
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.edits import declaration_path
from gitops_ml.core.text import clean_line
from gitops_ml.errors import InputError, SourceError, VersionError

TRAILER = "Gitops-ML-Override"
_LONGEST = 300
_LINE = re.compile(rf"^{TRAILER}: (.+)$", re.MULTILINE)
_COMMITS = 50
"""How many commits of a pull request are read for overrides of one declaration."""


class Rules:
    """The rules of one promotion, and a person's reason to override them, if there is one.

    Attributes:
        overridden: the rules that stand against the promotion, in words.
    """

    def __init__(self, deployment: str, environment: str, reason: str | None) -> None:
        """Raises `InputError` for a reason without words."""
        self._deployment, self._environment = deployment, environment
        self._reason = None if reason is None else clean_line(reason, _LONGEST).strip()
        self.overridden: list[str] = []
        if self._reason == "":
            raise InputError("--override gives no reason", why="its commit says why", fix="write why after --override")

    def override(self, error: InputError) -> None:
        """Note a rule that stands against the promotion. Without a reason to override it, raises it."""
        if self._reason is None:
            raise InputError(
                error.what,
                why=error.why,
                fix=f"{error.fix}; or gitops-ml promote {self._deployment} --to {self._environment} --override REASON",
            ) from error
        self.overridden.append(clean_line(f"{error.what}: {error.why}", _LONGEST))

    def message(self, met: str) -> str:
        """The body of the commit's message; `met` is what it says where no rule was overridden."""
        if not self.overridden:
            return f"{met}\n"
        lines = [f"Overridden: {rule}." for rule in self.overridden]
        return "\n".join([*lines, "", f"{TRAILER}: {self._reason}"]) + "\n"


def override_at(repo: Repository, environment: str, deployment: str, commit: str) -> str:
    """The reason of the override that `commit` declares a deployment by; empty if there is none, or no such commit."""
    try:
        return _reason(repo.log(declaration_path(environment, deployment), 1, commit))
    except (SourceError, VersionError):
        return ""


def override_between(repo: Repository, environment: str, deployment: str, base: str, head: str) -> str:
    """The newest reason in the commits from `base` to `head` that touch a declaration; empty if there is none."""
    return _reason(repo.log(declaration_path(environment, deployment), _COMMITS, head, since=base))


def _reason(commits: list[Commit]) -> str:
    reasons = [reason for commit in commits for reason in _LINE.findall(commit.message)]
    return clean_line(reasons[0], _LONGEST) if reasons else ""
