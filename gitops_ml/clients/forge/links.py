"""Where a status links to: the record of a verdict in Git, else the job that is at work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gitops_ml.core.pull_request.statuses import RecordPlace

_LONGEST = 2_000


class Links(NamedTuple):
    """The addresses that one repository's statuses link to.

    Args:
        files: the address below which the forge shows files of a commit.
        job: the address of this job's log; empty outside of one.
    """

    files: str
    job: str = ""

    def to(self, record: RecordPlace | None) -> str:
        """The address of a record; without one, that of the job. Empty if there is none."""
        return f"{self.files}/{record.commit}/{record.path}" if record else self.job


def job_address(variables: Mapping[str, str]) -> str:
    """The address of the job of GitHub or GitLab that this process runs in; empty outside of one."""
    run, repository = variables.get("GITHUB_RUN_ID", ""), variables.get("GITHUB_REPOSITORY", "")
    address = variables.get("CI_JOB_URL", "")
    if run.isdecimal() and repository:
        address = f"{variables.get('GITHUB_SERVER_URL', 'https://github.com')}/{repository}/actions/runs/{run}"
    plain = address.isascii() and address.isprintable() and " " not in address and len(address) <= _LONGEST
    return address if plain and address.startswith(("https://", "http://")) else ""
