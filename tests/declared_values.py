"""Values for every key that people may declare, from the JSON Schemas: smallest, largest, odd and absurd ones."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

Path = tuple[str | int, ...]

TEXTS = (
    *(
        "",
        " ",
        "-",
        "-x",
        "a",
        "a" * 40,
        "a" * 200,
        "a" * 5000,
        "ü",
        "ﷺ",
        "\u202e",
        "\ud7ff",
        "\0",
        "a\0b",
        "a\n",
        "\x1b[2J",
    ),
    *(
        "{{",
        "`",
        "$(x)",
        "${endpoint}",
        "../..",
        "/",
        "//",
        "/a",
        "/a b",
        "/%zz",
        "/%41",
        "/?q={{",
        "/etc/shadow",
        "a:b",
        "@",
    ),
    *(
        "0",
        "1",
        "1.0",
        "1e9",
        "null",
        "true",
        "NaN",
        "0s",
        "1ms",
        "100ms",
        "1s",
        "0.5s",
        "1m",
        "1h",
        "61m",
        "1d",
        "30d",
    ),
    *(
        "365d",
        "366d",
        "99999d",
        "999999999d",
        "1e300d",
        "1s ",
        "5k",
        "6m",
        "64m",
        "64g",
        "65536g",
        "65537g",
        "999999999999g",
    ),
    *("0%", "50%", "100%", "101%", "127.0.0.1", "0.0.0.0", "::", "::1", "::ffff:1.2.3.4", "fe80::1%eth0", "224.0.0.1"),
    *(
        "255.255.255.255",
        "192.0.2.7",
        "localhost",
        "unix:///run/docker.sock",
        "ssh://a",
        "tcp://h:1",
        "http://x",
        "https://a@b",
    ),
    *(
        "http://169.254.169.254/",
        "md5:" + "0" * 32,
        "md5:" + "0" * 32 + ".dir",
        "sha256:" + "0" * 64,
        "a@sha256:" + "0" * 64,
    ),
    *(
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59Z",
        "2026-12-01",
        "main",
        "a..b",
        "HEAD",
        "refs/heads/x",
        "v1.0.0",
    ),
)
"""What every key for text is tried with, whatever the text means there."""
NUMBERS = (0, 1, -1, 2, 15, 16, 64, 65, 0.01, 0.009, 0.1 + 0.2, 1 / 3, 1e-300, 1.5, 2.0, 99, 100, 1024, 65535, 65536)
HUGE = (2**31, 2**53 + 1, 2**63, 10**40, 1e300, math.inf, -math.inf, math.nan)
OF_ANOTHER_TYPE: tuple[Any, ...] = (None, True, "x", [], ["x"], {}, {"x": "y"}, 3)


def walk(schema: dict[str, Any]) -> Iterator[tuple[Path, Any]]:
    """(keys to the value, value) for every key of a JSON Schema, at every depth."""
    yield from _walk(schema, schema, ())


AROUND: dict[Path, Any] = {
    ("promotion",): {"from": "staging"},
    ("hold",): {"reason": "x"},
    ("verify", "holdout"): {"data": "d.csv", "metrics": {"roc_auc": {"min": 0.5}}},
    ("verify", "http"): [{"name": "a", "url": "http://x"}],
    ("verify", "prometheus"): [{"name": "a", "url": "http://x", "query": "up", "min": 0}],
    ("verify", "command"): [{"name": "a", "run": ["true"]}],
    ("rollout", "steps"): [5],
}
"""What has to stand around a value of these keys, so that the rest of the file is valid."""


def put(content: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """The file's content with a value in that place, and what has to stand around it."""
    content = copy.deepcopy(content)
    for prefix, around in AROUND.items():
        if path[: len(prefix)] == prefix and len(path) > len(prefix):
            _set(content, prefix, copy.deepcopy(around))
    _set(content, path, value)
    return content


def _set(content: dict[str, Any], path: Path, value: Any) -> None:
    around: Any = content
    key: Any
    for key in path[:-1]:
        around = around[key] if isinstance(around, list) else around.setdefault(key, {})
    if isinstance(around, list) and path[-1] == len(around):
        around.append(value)
    else:
        around[path[-1]] = value


def _walk(schema: dict[str, Any], root: dict[str, Any], path: Path) -> Iterator[tuple[Path, Any]]:
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    for choice in schema.get("anyOf", ()):
        yield from _walk(choice, root, path)
    if path:
        yield from ((path, value) for value in OF_ANOTHER_TYPE)
    for key, inner in schema.get("properties", {}).items():
        yield from _walk(inner, root, (*path, key))
    if isinstance(schema.get("additionalProperties"), dict):
        plain = {"min": 0.5} if "$ref" in schema["additionalProperties"] else "x"
        yield from (((*path, name), plain) for name in ("A", *TEXTS))
        yield from _walk(schema["additionalProperties"], root, (*path, "roc_auc"))
    if "items" in schema:
        yield from _walk(schema["items"], root, (*path, 0))
        yield path, [1] * 51
    yield from ((path, value) for value in _scalars(schema))


def _scalars(schema: dict[str, Any]) -> Iterator[Any]:
    kind = schema.get("type")
    yield from schema.get("enum", ())
    if kind == "string":
        yield from TEXTS
        if "maxLength" in schema:
            yield from ("x" * schema["maxLength"], "x" * (schema["maxLength"] + 1))
    elif kind in ("integer", "number"):
        bounds = [schema[key] for key in ("minimum", "maximum", "exclusiveMinimum") if key in schema]
        yield from (*NUMBERS, *HUGE, *bounds, *(bound + step for bound in bounds for step in (-1, 1)))
    elif kind == "boolean":
        yield from (True, False)
