"""The query language of a mapping: JMESPath (https://jmespath.org/specification.html), bounded before it is ever run.

JMESPath has no loops, no attributes and no code of its own, and it reads no variable beside its document. What is left
is size: `[@, @] | [@, @] | …` doubles its input at each bar. So an expression is refused where its result could be more
than `MAX_GROWTH` times as large as what it reads. That bounds its time too.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

MAX_CHARACTERS = 500
MAX_GROWTH = 64
MAX_DEPTH = 50
"""Levels of an expression's tree; each takes some of Python's stack."""
_TOO_DEEP = f"is nested too deeply; {MAX_DEPTH} levels are allowed"
FUNCTIONS = frozenset(
    (
        *("abs", "avg", "ceil", "contains", "ends_with", "floor", "keys", "length", "map", "max", "max_by", "merge"),
        *("min", "min_by", "not_null", "reverse", "sort", "sort_by", "starts_with", "sum", "to_array", "to_number"),
        *("to_string", "type", "values"),
    )
)
"""All functions of JMESPath but `join`, whose result may be as large as the square of what it reads."""

_BY_EXPRESSION = ("map", "max_by", "min_by", "sort_by")
"""The functions that take an expression. Anywhere else it would itself be a value, which is no JSON."""


@functools.lru_cache(1024)
def compile_expression(text: str) -> Any:
    """Compile a JMESPath expression; `search` of the result evaluates it.

    Raises `ValueError`, in words for the file where it stands, for one that is no JMESPath, too long, or could make a
    result that is much larger than what it reads.
    """
    import jmespath  # 15 ms, which only declarations with a mapping pay

    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"an expression has {len(text)} characters, and {MAX_CHARACTERS} are allowed")
    try:
        compiled = jmespath.compile(text)
        _require_depth(compiled.parsed)
        _require_functions({"type": "expression", "children": [compiled.parsed]})
        growth = _growth(compiled.parsed)
    except jmespath.exceptions.JMESPathError as error:
        raise ValueError(f"`{text}` is no JMESPath: {str(error).splitlines()[0].rstrip(':')}") from error
    except RecursionError as error:
        raise ValueError(f"`{text[:40]}…` {_TOO_DEEP}") from error
    if growth > MAX_GROWTH:
        raise ValueError(
            f"`{text[:80]}` may give up to {growth} times as much as it reads, and {MAX_GROWTH} times are allowed"
        )
    return compiled


def evaluate(compiled: Any, document: Any) -> Any:
    """The result of a compiled expression. Raises `ValueError` where a value has not the type that a function takes."""
    import jmespath

    try:
        return compiled.search(document)
    except jmespath.exceptions.JMESPathError as error:
        raise ValueError(str(error).splitlines()[0]) from error
    except (TypeError, AttributeError, LookupError, ArithmeticError, RecursionError) as error:  # of jmespath
        raise ValueError(f"{type(error).__name__}: {error}") from error


@functools.lru_cache(1024)
def names_read(text: str) -> frozenset[str]:
    """The names that an expression reads of its document itself; `@` for the whole of it. Raises as
    `compile_expression`.
    """
    return frozenset(_roots(compile_expression(text).parsed))


_FIRST_ALONE = ("subexpression", "index_expression", "pipe", "projection", "value_projection", "filter_projection")
"""Nodes of which only the first child is evaluated on the node's own document."""


def _roots(node: dict[str, Any]) -> Iterator[str]:
    if node["type"] == "field":
        yield str(node["value"])
    elif node["type"] in ("current", "identity"):
        yield "@"
    else:
        children = _children(node)
        for child in children[:1] if node["type"] in _FIRST_ALONE else children:
            if child["type"] != "expref":  # is evaluated on each element of the function's other argument
                yield from _roots(child)


def _require_depth(node: dict[str, Any], depth: int = MAX_DEPTH) -> None:
    if depth == 0:
        raise ValueError(f"an expression {_TOO_DEEP}")
    for child in _children(node):
        _require_depth(child, depth - 1)


def _require_functions(node: dict[str, Any]) -> None:
    if node["type"] == "function_expression" and node["value"] not in FUNCTIONS:
        raise ValueError(f"`{node['value']}` is no function that a mapping may use: {', '.join(sorted(FUNCTIONS))}")
    for child in _children(node):
        if child["type"] == "expref" and node.get("value") not in _BY_EXPRESSION:
            raise ValueError(f"`&` belongs into {', '.join(_BY_EXPRESSION)} alone")
        _require_functions(child)


def _growth(node: dict[str, Any]) -> int:
    """How many times as large as its document the value of a node may be.

    One after the other, nodes multiply; side by side, they add up. A function may read its argument for each element of
    another one, and `to_string` doubles quotes.
    """
    kind, children = node["type"], [_growth(child) for child in _children(node)]
    if kind in ("multi_select_list", "multi_select_dict", "comparator", "or_expression", "and_expression"):
        return max(1, sum(children))
    product = 2 if kind == "function_expression" else 1
    for growth in children:
        product *= growth
    return product


def _children(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [child for child in node["children"] if isinstance(child, dict)]
