"""Which modules a stored model names, and what kind of file it is, read without loading the model.

A pickle names the module of each class before it imports it, as a short text (protocol 4 and later) or in a line
(earlier ones; https://docs.python.org/3/library/pickletools.html). Joblib puts raw arrays between the operations, so
the texts are searched for instead of the operations being read: a name too many is possible, one too few is not.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, Literal

from gitops_ml.artifacts.content import FileContent, opened

Format = Literal["joblib", "skops", "onnx", "xgboost", "lightgbm", "mlflow"]
PICKLES: frozenset[str] = frozenset(("joblib", "mlflow"))
"""The formats whose loading runs code of the model."""

MOST = 256 << 20
"""Bytes that are searched, decompressed."""

_DOTTED = rb"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)"
_SHORT_TEXT = re.compile(rb"(?:\x8c(.)|X(.)\x00\x00\x00)(" + _DOTTED + rb"+)", re.DOTALL)
# A lookahead: the byte before the operation may be a letter too, so a match may not hide the next.
_GLOBAL_LINE = re.compile(rb"(?=c(" + _DOTTED + rb"*)\n[A-Za-z_][A-Za-z0-9_.]*\n)")
_SKOPS_MODULE = re.compile(rb'"__module__":\s*"(' + _DOTTED + rb'*)"')
_BY_SUFFIX: dict[str, Format] = {
    ".pkl": "joblib",
    ".pickle": "joblib",
    ".joblib": "joblib",
    ".sav": "joblib",
    ".skops": "skops",
    ".onnx": "onnx",
    ".ubj": "xgboost",
}
MAYBE = (".json", ".txt", ".model", ".bst", ".xgb", ".lgb")
"""Suffixes of boosters, and of much else."""


def format_of(name: str, content: FileContent | None = None) -> Format | None:
    """The format of a model's file by its name, or by its first bytes where the name may mean anything.

    None for a file that is no model.
    """
    suffix = "." + name.rpartition(".")[2].lower()
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    if suffix not in MAYBE or content is None:
        return None
    start = content[:4096]
    if start.startswith(b"tree\nversion="):
        return "lightgbm"
    return "xgboost" if b'"learner"' in start or (start.startswith(b"{L") and b"learner" in start) else None


def modules_in(content: FileContent) -> set[str]:
    """The dotted names that a pickle or a skops file holds, most of which are modules."""
    data = decompressed(content)
    if data[:2] == b"PK":
        return {name.decode() for name in _SKOPS_MODULE.findall(_member(data, "schema.json"))}
    names = {match[1].decode() for match in _GLOBAL_LINE.finditer(data, 0, MOST)}
    for match in _SHORT_TEXT.finditer(data, 0, MOST):
        length = (match[1] or match[2])[0]
        if len(match[3]) >= length:
            names.add(match[3][:length].decode())
    return {name for name in names if not name.endswith(".")}


def decompressed(content: FileContent) -> FileContent:
    """The bytes of a file that joblib may have compressed, at most `MOST` of them; as they are if they are not."""
    openers: dict[bytes, Callable[[IO[bytes]], Any]] = {
        b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
        b"BZh": bz2.BZ2File,
        b"\xfd7zXZ": lzma.LZMAFile,
        b"]\x00\x00": lzma.LZMAFile,
    }
    try:
        for magic, opener in openers.items():
            if content[: len(magic)] == magic:
                with opener(opened(content)) as file:
                    return _read(file)
        if content[:1] == b"\x78":
            return zlib.decompressobj().decompress(content, MOST)
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        pass
    return content


def _read(file: IO[bytes]) -> bytes:
    return b"".join(_pieces(file))


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    left = MOST
    while left > 0 and (piece := file.read(min(left, 1 << 20))):
        left -= len(piece)
        yield piece


def _member(data: FileContent, name: str) -> bytes:
    try:
        with zipfile.ZipFile(opened(data)) as archive, archive.open(name) as member:
            return _read(member)
    except Exception:  # a malformed archive fails in many ways
        return json.dumps({}).encode()
