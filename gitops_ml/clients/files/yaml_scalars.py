"""What scalars mean in the two kinds of YAML that are read: one's own declarations, and what DVC wrote or reads."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import yaml

MAX_BYTES = 256 * 1024
"""Bytes of one file below `environments/`."""
TAG = "tag:yaml.org,2002:"
TEXT = f"{TAG}str"


class CoreResolver(yaml.resolver.BaseResolver):
    """What a plain scalar means in YAML 1.2, as DVC reads it: `no`, `on` and `12:30` are text."""


for _name, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?(0b[01_]+|0o?[0-7_]+|[0-9][0-9_]*|0x[0-9a-fA-F_]+)", "-+0123456789"),
    (
        "float",
        r"[-+]?([0-9][0-9_]*\.[0-9_]*([eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+|\.[0-9_]+([eE][-+][0-9]+)?"
        r"|\.(inf|Inf|INF))|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
):
    CoreResolver.add_implicit_resolver(f"{TAG}{_name}", re.compile(f"(?:{_pattern})$"), list(_first))


def _integer(text: str) -> int:
    """An integer of YAML 1.2, where `010` is ten."""
    digits = text.replace("_", "")
    base = {"0b": 2, "0o": 8, "0x": 16}.get(digits.lstrip("+-")[:2], 10)
    return int(digits, base)


def _number(text: str) -> float:
    return float(re.sub(r"\.(?=inf$|nan$)", "", text.replace("_", "").lower()))


def _finite(text: str) -> float:
    """A number of one's own declaration. Raises `OverflowError` for `.nan`, `.inf`, and what is too large."""
    value = _number(text)
    if not math.isfinite(value):
        raise OverflowError(text)
    return value


class Dialect(NamedTuple):
    """How the plain scalars of a document are read, and how large it may be.

    Args:
        resolvers: tags of plain scalars, as PyYAML keeps them: (tag, pattern) by first character.
        convert: a scalar's value, by tag. Any other tag is refused.
        aliases: whether aliases and merge keys (`<<`) are read.
        max_bytes: of the whole document.
    """

    resolvers: Mapping[str, list[tuple[str, re.Pattern[str]]]]
    convert: Mapping[str, Callable[[str], Any]]
    aliases: bool
    max_bytes: int

    def tag_of(self, text: str) -> str:
        """The tag of a plain scalar without one."""
        return next((tag for tag, pattern in self.resolvers.get(text[:1], ()) if pattern.match(text)), TEXT)


OWN = Dialect(
    # YAML 1.1: what editors read in two ways (`no`, `010`) is refused by its type.
    resolvers=yaml.resolver.Resolver.yaml_implicit_resolvers,
    convert={
        TEXT: str,
        f"{TAG}timestamp": str,
        f"{TAG}int": lambda text: int(text.replace("_", ""), 0),
        f"{TAG}float": _finite,
        f"{TAG}bool": lambda text: text.lower() in ("true", "yes", "on"),
        f"{TAG}null": lambda _: None,
    },
    aliases=False,
    max_bytes=MAX_BYTES,
)
"""Files below `environments/`: strict, so that a declaration means one thing to everybody."""

DVC = Dialect(
    resolvers=CoreResolver.yaml_implicit_resolvers,
    convert={
        TEXT: str,
        f"{TAG}timestamp": str,
        f"{TAG}int": _integer,
        f"{TAG}float": _number,
        f"{TAG}bool": lambda text: text.lower() == "true",
        f"{TAG}null": lambda _: None,
    },
    aliases=True,
    max_bytes=16 << 20,
)
"""dvc.yaml, dvc.lock, .dvc files, params.yaml and metrics, as DVC reads them: YAML 1.2. Dates stay text."""
