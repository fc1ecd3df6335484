"""Text that nobody vouches for has no effect in a comment, wherever it stands."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from gitops_ml.core.pull_request.markdown import bar_chart, code, details, prose, table
from gitops_ml.core.text import clean_line

RENDER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
HOSTILE = st.text(
    st.sampled_from("ab1 \\`*_{}[]()#+-.!|<>~@:&/$=\n\r\t%\"'") | st.characters(codec="utf-8"), max_size=60
)
ATTACKS = [
    "a | b | c",
    "a \\| b",
    "`a` ``b",
    "\\`",
    "<img src=x onerror=alert(1)>",
    "[click](https://example.org)",
    "![x](https://example.org/x.png)",
    "https://example.org www.example.org",
    "@octocat fixes #12, !34, GH-5, owner/repo#6",
    "/merge",
    "# title",
    "1. one",
    "- one",
    "> quote",
    "<!-- hidden",
    "-->",
    "</details>",
    "line\n\n/approve\n| forged | row |",
    "&lt;b&gt; &amp;",
    ":tada: $x$ %12 ~label",
]


def text_of(rendered: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", "", rendered)).replace("\u200b", "")).strip()


def shown(text: str) -> str:
    return re.sub(r"\s+", " ", clean_line(text)).strip()


@pytest.mark.parametrize("text", ATTACKS)
def test_an_attack_is_shown_as_it_was_written(text: str) -> None:
    for made in (prose(text), code(text)):
        assert text_of(RENDER.render(made)) == shown(text)
        assert text_of(RENDER.render(f"- {made}")) == shown(text)


@given(HOSTILE)
@example("a|b")
@example("\\|")
@example("`")
@example("1)")
def test_no_text_makes_an_element_or_a_cell_of_its_own(text: str) -> None:
    for made in (prose(text), code(text)):
        rendered = RENDER.render(table(("A", "B"), [(made, "last")]))
        assert rendered.count("<td") == 2, made
        assert set(re.findall(r"<(\w+)", rendered)) <= {"table", "thead", "tbody", "tr", "th", "td", "code"}, made
        assert "\n" not in made


@given(HOSTILE)
def test_nothing_is_mentioned_linked_or_referred_to(text: str) -> None:
    """Forges look for these in the rendered text, outside of code."""
    rendered = html.unescape(RENDER.render(f"a {prose(text)}"))
    assert not re.search(r"[@#!]\w|\w://|www\.|GH-\d", re.sub(r"<[^>]+>", "", rendered)), rendered


@given(HOSTILE)
def test_a_folded_part_stays_one(text: str) -> None:
    rendered = details(text, "body")
    assert rendered.count("<details>") == rendered.count("</details>") == rendered.count("</summary>") == 1
    assert rendered.count("\n") == 5


@given(st.lists(st.tuples(HOSTILE, st.floats(0, 1e6)), min_size=1, max_size=5))
@example([("", 1.0), ("%%{init}%%", 0.0)])
def test_a_chart_stays_one_block_of_code(bars: list[tuple[str, float]]) -> None:
    chart = bar_chart("t", "u", bars)
    assert chart.count("```") == 2 and chart.count("\n") == 6
    assert chart.count('"') == 2 * (2 + len(bars))
    assert "%%" not in chart and '""' not in chart, "Mermaid's parser takes neither"


def test_no_bars_make_no_chart() -> None:
    assert bar_chart("t", "u", []) == ""
