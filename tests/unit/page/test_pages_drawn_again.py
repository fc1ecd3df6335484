"""The page of an attempt is drawn again if, and only if, something that it shows has changed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest

from gitops_ml.page.facts import CommitFacts, Site
from gitops_ml.page.render import NEAR, pages
from tests.unit.page.examples import COMMIT, READY, attempt, deployment, site, slower, trace

MANY = deployment("prod", "many", [attempt(number, slower(number)) for number in range(1, 41)])


def with_deployment(changed: object) -> Site:
    """The example's site, with one more deployment in its last environment."""
    *others, last = site().environments
    last = msgspec.structs.replace(last, deployments=(*last.deployments, changed))
    return msgspec.structs.replace(site(), environments=(*others, last))


BEFORE = with_deployment(MANY)
KNOWN = {page.path: page.digest for page in pages(BEFORE, trace) if page.digest}
TEXTS = {page.path: page.text for page in pages(BEFORE, trace)}


def replaced(**changes: object) -> Callable[[], Site]:
    return lambda: msgspec.structs.replace(BEFORE, **changes)


def one_more_attempt() -> Site:
    newest = attempt(0, READY, id="newest", version="v9")
    return with_deployment(msgspec.structs.replace(MANY, attempts=(newest, *MANY.attempts)))


def another_verdict() -> Site:
    first, *rest = MANY.attempts
    return with_deployment(
        msgspec.structs.replace(MANY, attempts=(msgspec.structs.replace(first, verdict="Failed"), *rest))
    )


def drawn(changed: Site) -> set[str]:
    """The pages of attempts that are drawn; every page that is not would be the same."""
    texts = {page.path: page.text for page in pages(changed, trace)}
    drawn = set()
    for page in pages(changed, trace, KNOWN):
        if page.text is None:
            assert texts[page.path] == TEXTS[page.path], page.path
        elif page.digest:
            drawn.add(page.path)
    return drawn


def test_where_nothing_changed_no_attempt_is_drawn() -> None:
    assert len(KNOWN) > 70
    assert drawn(BEFORE) == set()


def test_a_later_commit_leaves_attempts_as_they_are() -> None:
    assert drawn(replaced(commit="d" * 40, at=BEFORE.at + timedelta(days=1))()) == set()


@pytest.mark.parametrize("change", [one_more_attempt, another_verdict])
def test_an_attempt_is_drawn_with_those_whose_pages_show_it(change: Callable[[], Site]) -> None:
    assert 0 < len(drawn(change())) <= NEAR + 1 + NEAR
    assert all(path.startswith("prod/many/") for path in drawn(change()))


@pytest.mark.parametrize(
    "change",
    [
        replaced(project="other"),
        replaced(commits={}),
        replaced(commits={COMMIT: CommitFacts(author="Bob", at=BEFORE.at, subject="Other")}),
    ],
)
def test_what_every_page_names_draws_them_all(change: Callable[[], Site]) -> None:
    assert drawn(change()) == KNOWN.keys()
