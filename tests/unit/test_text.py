"""Text of models, logs and people cannot rewrite a terminal, forge a line, or fail to encode."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitops_ml.core.text import clean, clean_line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x9b2Jgone", "gone"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("nul\0 byte", "nul byte"),
        ("bad\nGitops-ML-Attempt: forged", "bad Gitops-ML-Attempt: forged"),
        ("a\u2028b\u2029c\x85d\re\r\nf", "a b c d e f"),
        ("lone \ud800 surrogate", "lone \ufffd surrogate"),
        ("\u202egnp.exe", "gnp.exe"),
        ("tabs\tand  spaces", "tabs and spaces"),
        ("Größe 変 é 🙂", "Größe 変 é 🙂"),
    ],
)
def test_one_line(text: str, line: str) -> None:
    assert clean_line(text) == line


def test_lines_and_tabs_of_a_log_are_kept() -> None:
    assert clean("first\r\n\tsecond\x1b[K\rthird") == "first\n\tsecond\nthird"


def test_a_long_log_keeps_its_end_and_a_long_message_its_beginning() -> None:
    assert clean("0123456789", limit=4) == "…789"
    assert clean_line("0123456789", limit=4) == "012…"


@given(st.text(st.characters(), max_size=400))
def test_whatever_comes_in_is_safe_and_clean_stays_clean(text: str) -> None:
    for cleaned in (clean(text, 300), clean_line(text, 300)):
        cleaned.encode()
        assert len(cleaned) <= 300
        assert not [c for c in cleaned if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"]
    assert "\n" not in clean_line(text)
    assert clean_line(clean_line(text)) == clean_line(text)
    assert clean(clean(text)) == clean(text)
