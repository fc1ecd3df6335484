"""Every page is read back with an HTML parser: links lead somewhere, headings are in order, and no text is markup."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from posixpath import dirname, join, normpath

import msgspec
import pytest

from gitops_ml.page import names
from gitops_ml.page.facts import DeploymentFacts, Site
from gitops_ml.page.render import contents, pages
from tests.unit.builders import NOW
from tests.unit.page.examples import EVERY, HISTORY, HOSTILE, attempt, check, deployment, site, trace

VOID = {"meta", "link", "br", "img", "input", "hr", "rect", "line", "circle", "path"}
PAGES = {page.path: page.text or "" for page in pages(site(), trace)}
HTML = sorted(path for path in PAGES if path.endswith(".html"))


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    children: list[Element] = field(default_factory=list)
    text: str = ""

    def all(self, tag: str = "", **attributes: str) -> list[Element]:
        """The elements below this one, in order, with this tag and these attributes."""
        matches = []
        for child in self.children:
            same = all(child.attributes.get(name.rstrip("_")) == value for name, value in attributes.items())
            matches += [child] if tag in ("", child.tag) and same else []
            matches += child.all(tag, **attributes)
        return matches

    @property
    def words(self) -> str:
        return " ".join(f"{self.text} {' '.join(child.words for child in self.children)}".split())


class Reader(HTMLParser):
    """Builds the tree of a page, and refuses one that is not closed properly."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open = [Element("", {})]
        self.feed(text)
        self.close()
        assert [element.tag for element in self.open] == [""], "elements stay open"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.open[-1].text += data


def read(text: str) -> Element:
    return Reader(text).open[0]


@cache
def page(path: str) -> Element:
    return read(PAGES[path])


def linked(path: str) -> list[str]:
    """The pages and files that a page links to, as paths of the site."""
    hrefs = [e.attributes.get("href") or "" for e in page(path).all() if "href" in e.attributes]
    return [normpath(join(dirname(path), href)) for href in hrefs if not href.startswith(("#", "data:"))]


@pytest.mark.parametrize("path", HTML)
def test_a_page_is_whole(path: str) -> None:
    root = page(path)
    levels = [int(e.tag[1]) for e in root.all() if re.fullmatch(r"h[1-6]", e.tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels)), levels
    assert [len(root.all(tag)) for tag in ("html", "title", "main", "header", "footer")] == [1] * 5
    ids = [e.attributes["id"] for e in root.all() if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    for element in root.all():
        for name in ("aria-labelledby", "aria-describedby"):
            assert element.attributes.get(name, ids[0]) in ids
    for table in root.all("table"):
        assert all(e.attributes.get("scope") for e in table.all("th"))


@pytest.mark.parametrize("path", HTML)
def test_every_link_leads_to_a_page_of_the_site(path: str) -> None:
    assert [target for target in linked(path) if target not in PAGES] == []


def test_every_page_can_be_reached() -> None:
    reached, pending = set(), [names.OVERVIEW]
    while pending:
        path = pending.pop()
        if path not in reached:
            reached.add(path)
            pending += [target for target in linked(path) if target.endswith(".html")]
    assert reached == set(HTML)


@pytest.mark.parametrize("path", HTML)
def test_hostile_text_is_text(path: str) -> None:
    root = page(path)
    assert not root.all("script") and not root.all("img") and not root.all("iframe")
    assert not [e for e in root.all() for name in e.attributes if name.startswith("on") or name == "style"]


def test_hostile_text_is_shown_as_it_is() -> None:
    shown = " ".join(HOSTILE.split())
    assert shown in page(names.OVERVIEW).words
    assert shown in page(names.attempt_page("dev", "delay", HISTORY[1].id)).words


def test_nothing_is_asked_of_another_host() -> None:
    for path, text in PAGES.items():
        loading = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?\s*((?:[a-z]+:)?//[^"')\s]*)""", text)
        assert loading == [], path


# --- what is on it


def cell(environment: str, name: str) -> Element:
    (match,) = page(names.OVERVIEW).all("td", **{"data-environment": environment, "data-deployment": name})
    return match


def listed(section: str) -> list[Element]:
    """The items of a section of the overview."""
    (match,) = page(names.OVERVIEW).all("section", **{"aria-labelledby": section})
    return match.all("li")


def test_the_overview_says_what_status_says() -> None:
    for facts in site().deployments:
        if facts.status:
            words = cell(facts.environment, facts.name).words
            states = facts.status
            for word in (states.version, states.sync, states.health, states.verification):
                assert word in words
            assert f"{states.replicas.ready}/{states.replicas.desired}" in words
            assert ("On hold" in words) == (states.hold is not None)


def test_a_host_that_did_not_answer_gets_no_state_of_a_host() -> None:
    words = cell("prod", "delay").words
    assert "Failed" in words and not re.search("Synced|Healthy|Degraded|Missing", words)
    assert "the engine ssh://user@prod does not answer" in page(names.OVERVIEW).words


def test_what_needs_a_look_comes_first() -> None:
    assert [item.words.split()[0] for item in listed("attention")] == ["staging/churn", "staging/delay", "prod/delay"]
    assert [item.words for item in listed("waiting")] == ["dev/churn v1.41.0 rolls out from 2026-11-23 18:00"]
    (under_way,) = listed("rollouts")
    assert "v1.40.0, canary over v1.39.0, 25 % of the requests" in under_way.words
    words = page(names.OVERVIEW).words
    assert words.index("Needs attention") < words.index("Waiting to begin") < words.index("Deployments")


def test_a_rollout_under_way_shows_its_evidence_so_far() -> None:
    root = page(names.deployment_page("dev", "churn"))
    (section,) = root.all("section", **{"aria-labelledby": "rollout"})
    assert "v1.40.0, canary over v1.39.0, 25 % of the requests" in section.words
    assert "Bad requests:" in (section.all("svg", role="img")[-1].attributes["aria-label"] or "")


def test_a_calm_project_says_so() -> None:
    calm = msgspec.structs.replace(site(), environments=site().environments[:1], unreadable={})
    assert "Nothing. Every deployment is as Git declares it." in read(contents(calm, trace)[names.OVERVIEW]()).words


def test_a_project_without_deployments_says_so() -> None:
    empty = Site(project="flights", commit="c" * 40, at=NOW)
    assert "Nothing is declared yet." in read(contents(empty, trace)[names.OVERVIEW]()).words


def test_the_timeline_shows_every_attempt_with_what_decided_it() -> None:
    items = page(names.deployment_page("dev", "delay")).all("ol", class_="timeline")[0].all("li")
    assert [item.words.split()[0].rstrip(",") for item in items] == [a.version for a in HISTORY]
    assert "worse by more than 0.02" in items[1].words
    assert "did not replace v1.37.0" in items[1].words


def test_an_attempt_shows_every_check_and_figure() -> None:
    root = page(names.attempt_page("dev", "delay", HISTORY[0].id))
    for check_ in HISTORY[0].checks:
        assert check_.name in root.words and check_.reason in root.words
    rows = {row.children[0].words: row.children[1].words for row in root.all("tr") if row.children[0].tag == "th"}
    assert rows["evidence harmless"] == "24.7" and rows["candidate requests"] == "1,042"
    pictures = [e.attributes["aria-label"] or "" for e in root.all("svg", role="img")]
    assert len(pictures) == len(EVERY) - 1  # an HTTP answer is no quantity


def test_the_logs_of_a_failed_attempt_are_shown() -> None:
    (logs,) = page(names.attempt_page("dev", "delay", HISTORY[1].id)).all("pre")
    assert logs.words.startswith("Traceback") and "exited with 3" in logs.words


# --- names in paths


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "", ".", "A", "x" * 300, "%2e%2e", "con.txt", "ä", "\0"])
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    assert re.fullmatch(r"[_a-z0-9][a-z0-9-]*", names.file_name(name))
    assert len(names.file_name(name)) <= 64


def test_different_names_have_different_files() -> None:
    assert len({names.file_name(name) for name in ("a", "A", "a/", "../a", "")}) == 5


def test_a_record_that_somebody_edited_is_shown_all_the_same() -> None:
    odd = attempt(
        3,
        check("holdout x", candidate=1e308, candidate_low=-1e308, candidate_high=1e308, min="low"),
        check("traffic", candidate_requests=-1, candidate_bad=5, incumbent_requests=3, incumbent_bad=0),
        check("drift", also={"psi ": 0.1, "warn": "?"}),
        check(HOSTILE, reason=HOSTILE, odd=["a", 1, HOSTILE], none=None),
        id="../../../evil",
        settled="yesterday",
        started="",
        commit="../x",
    )
    facts: DeploymentFacts = deployment("../up", "a/../b", (odd,))
    base = site()
    odd_site = msgspec.structs.replace(
        base, environments=(msgspec.structs.replace(base.environments[0], name="../up", deployments=(facts,)),)
    )
    for path, text, _ in pages(odd_site, trace):
        assert ".." not in path and not path.startswith("/")
        if path.endswith(".html"):
            read(text or "")
