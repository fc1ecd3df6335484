"""Temporary folders for bytes on their way, and what is said when the disk has no room for them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gitops_ml.errors import SourceUnavailable


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder, removed afterwards. Raises `SourceUnavailable` where none can be made."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="gitops-ml-", ignore_cleanup_errors=True)
    except OSError as error:
        raise SourceUnavailable(
            "no temporary folder can be made",
            why=error.strerror or str(error),
            fix=f"df -h {os.environ.get('TMPDIR', '/tmp')}; TMPDIR names another place",
        ) from error
    with folder as name:
        yield Path(name)


@contextmanager
def writing_to(target: Path) -> Iterator[None]:
    """Raise `SourceUnavailable` for what goes wrong on the disk of `target`, such as a full one."""
    try:
        yield
    except OSError as error:
        raise SourceUnavailable(
            f"{target.parent} cannot be written to",
            why=error.strerror or str(error),
            fix=f"df -h {target.parent}; TMPDIR names another place for temporary files",
        ) from error
