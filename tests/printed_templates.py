"""Finds every text of the source that is printed as a fix or as the next command, as a template.

What an f-string fills in is `{}`.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROGRAMS = re.compile(r"(?<![\w./-])(gitops-ml|git|dvc|docker|pip|apt-get|make|journalctl)(?: [a-z{-]+)")
"""Where a command may begin."""
PROSE = re.compile(r"make (?!setup|demo)|gitops-ml (needs|in|makes|runs)\b|gitops-ml \{\}$|git lfs untrack it")
"""Words that only look like a command."""


@cache
def printed() -> dict[str, list[str]]:
    """The templates that name a command, each with the files that print it."""
    templates: dict[str, list[str]] = {}
    for path in sorted((ROOT / "gitops_ml").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            for template in _of(node) if isinstance(node, ast.Call) else ():
                if PROGRAMS.search(PROSE.sub("", template)):
                    templates.setdefault(template, []).append(str(path.relative_to(ROOT)))
    return templates


def _of(call: ast.Call) -> list[str]:
    name = getattr(call.func, "id", getattr(call.func, "attr", ""))
    values = [keyword.value for keyword in call.keywords if keyword.arg == "fix"]
    if name in ("missing", "note"):  # findings of `doctor`
        values += call.args[2:3]
    texts = [text for value in values for text in _texts(value)]
    if name in ("progress", "say", "report", "out"):
        texts += [text for value in call.args for text in _texts(value) if text.startswith("next: ")]
    return texts


def _texts(value: ast.expr) -> list[str]:
    """The texts that an expression may give, as templates."""
    match value:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr():
            return ["".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in value.values)]
        case ast.IfExp():
            return _texts(value.body) + _texts(value.orelse)
        case ast.BinOp():
            return [a + b for a in _texts(value.left) or ["{}"] for b in _texts(value.right) or ["{}"]]
        case ast.BoolOp():
            return [text for each in value.values for text in _texts(each)]
    return []


def commands_in(template: str, program: str) -> list[list[str]]:
    """The commands of one program in a template, as words; placeholders are `x`."""
    found = []
    for match in re.finditer(rf"(?<![\w./-]){program} ([^`,;()…&|]+)", PROSE.sub("", template)):
        text = re.split(r" (?:and|or|in|where|which|from|says|shows|starts|looks|on|again|it)\b|:\s|\.$", match[1])[0]
        text = text.replace("'", "").replace('"', "").replace("{}", "x")
        words = [re.sub(r"^<.+>$|^[A-Z][A-Z-]*$", "x", word) for word in text.split()]
        found.append(words)
    return found
