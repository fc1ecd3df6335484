"""Which scikit-learn a model's file was written with, read without loading the model.

scikit-learn does not promise that a model works in another version than it was trained with. Where it loads all the
same, its answers may differ: only a warning in the container's log would say so.
"""

from __future__ import annotations

import re
import zipfile

from gitops_ml.artifacts.content import FileContent, opened
from gitops_ml.artifacts.pickle_modules import decompressed

_MOST = 64 << 20
"""Bytes at each end of a pickle, or of a skops schema, that are searched: a version follows the estimator's arrays."""
_VERSION = rb"([0-9]+(?:\.[0-9A-Za-z]+){1,5})"
_IN_SKOPS = re.compile(rb'"_sklearn_version":\s*\{[^{}]*?"content":\s*"\\"' + _VERSION + rb'\\""')
_IN_PICKLE = re.compile(
    rb"(?:\x8c\x10|X\x10\x00\x00\x00)_sklearn_version(?:\x94|q.|r.{4})?(?:\x8c.|X.{4})"
    + _VERSION
    + rb"(?:\x94|q|r|u|s)",
    re.DOTALL,
)


def scikit_learn_versions(content: FileContent) -> list[str]:
    """The versions that the estimators in a skops file or a pickle name, sorted; empty without any."""
    content = decompressed(content)
    if content[:2] == b"PK":
        found = _IN_SKOPS.findall(_skops_schema(content))
    else:
        found = [*_IN_PICKLE.findall(content, 0, _MOST), *_IN_PICKLE.findall(content, max(0, len(content) - _MOST))]
    return sorted({version.decode() for version in found})


def _skops_schema(content: FileContent) -> bytes:
    try:
        with zipfile.ZipFile(opened(content)) as archive, archive.open("schema.json") as schema:
            return schema.read(_MOST)
    except Exception:  # a malformed archive fails in many ways; the server says which when it loads the model
        return b""
