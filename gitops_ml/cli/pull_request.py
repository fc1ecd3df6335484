"""What commands do on a forge: `--pr`, a pull request of an edit that says what it does, and commit statuses."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from gitops_ml.cli import options, render

if TYPE_CHECKING:
    from gitops_ml.clients.edits.edit import CommitOptions, Written
    from gitops_ml.clients.forge.forge import Forge
    from gitops_ml.clients.git.repository import Repository
    from gitops_ml.control.environment.view import View
    from gitops_ml.control.statuses import StatusReporter
    from gitops_ml.core.pull_request.facts import PullRequest

_MOST_NOTES, _NOTE = 10, 150


class EditPlace(NamedTuple):
    """Where an edit goes. `forge` is None where no pull request is wanted."""

    options: CommitOptions
    forge: Forge | None = None

    def propose(self, repo: Repository, written: Written, environment: str) -> str | None:
        """Open the pull request of an edit, or edit the one that is open. Returns its address; None where none is due.

        Raises `ForgeRefused` and `ForgeUnavailable`; the branch is pushed by then, and the same command goes on.
        """
        if self.forge is None or written.commit is None:
            return None
        from gitops_ml.cli.comment import describe

        request = describe(repo, (str(self.options.onto), written.commit), [environment], predictions=True)
        return open_pull_request(self.forge, (str(written.branch), repo.branch), written.subject, request)


def open_pull_request(
    forge: Forge, between: tuple[str, str], title: str, request: PullRequest, notes: Sequence[str] = ()
) -> str:
    """Open the pull request of a pushed branch, or edit the one that is open. Returns its address.

    Args:
        between: the branch, and the one that it is merged into.
        notes: what else its text says, one line each.

    Raises `ForgeRefused` and `ForgeUnavailable`.
    """
    from gitops_ml.clients.forge.forge import NewPullRequest
    from gitops_ml.clients.forge.posting import open_or_edit
    from gitops_ml.core.pull_request.markdown import prose
    from gitops_ml.core.pull_request.stored_comment import stored_comment

    listed = "\n".join(f"- {prose(note, _NOTE)}" for note in notes[:_MOST_NOTES])
    text = stored_comment(request) + (f"\n\n{listed}" if listed else "")
    posted = open_or_edit(forge, NewPullRequest(*between, title, text))
    render.progress(f"pull request {'opened' if posted.action == 'written' else posted.action}: {posted.url}")
    return posted.url


def edit_place(repo: Repository, edit: options.Edit, branch: str) -> EditPlace:
    """Where an edit goes. A pull request is one of a branch on top of the fetched tip, by default of `branch`.

    Raises `InputError` where the forge or its token is not known, before anything is written.
    """
    from gitops_ml.clients.edits.edit import CommitOptions

    wanted = CommitOptions(edit.commit, edit.branch, edit.push)
    if not edit.pr:
        return EditPlace(wanted)
    found = find_own_forge(repo, edit.forge)
    return EditPlace(wanted._replace(branch=edit.branch or branch, onto=repo.fetch()), found)


def find_own_forge(repo: Repository, chosen: str | None) -> Forge:
    """The forge of the clone's remote, with the token that the environment's variables hold. Raises `InputError`."""
    from gitops_ml.clients.forge.find import find_forge, forge_url

    remote = repo.remote or ""
    urls = [repo.git.run("remote", "get-url", remote).text, repo.config.get(f"remote.{remote}.url", "")]
    return find_forge(forge_url(urls), chosen, os.environ)


def status_reporter(
    repo: Repository, reports: options.StatusReports, say: Callable[[str], None]
) -> StatusReporter | None:
    """What sets commit statuses; None where they are not wanted, or where the forge is not known or has no token.

    Of the second `say` is told. Raises `InputError` for a `public_url` that is no address.
    """
    if not reports.statuses:
        return None
    from gitops_ml.clients.forge.links import require_address
    from gitops_ml.control.statuses import StatusReporter
    from gitops_ml.errors import GitopsError

    page = require_address(reports.public_url) if reports.public_url else ""
    try:
        found = find_own_forge(repo, reports.forge)
        return StatusReporter(found.set_status, say, found.show_deployment, page)
    except GitopsError as error:
        say(f"warning: no commit status is set: {error}")
        return None


@contextmanager
def status_reports(repo: Repository, reports: options.StatusReports) -> Iterator[Callable[[View], None]]:
    """Set commit statuses meanwhile, from each look that the callable gets."""
    reporter = status_reporter(repo, reports, render.progress)
    if reporter is None:
        yield lambda view: None
        return
    try:
        yield reporter.tell
    except KeyboardInterrupt:
        raise  # whoever stops it does not wait for a forge
    except BaseException:
        reporter.close()
        raise
    reporter.close()
