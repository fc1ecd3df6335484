"""Writes the site into a folder that nothing else is in, so that no file of anybody's is overwritten or removed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from gitops_ml.artifacts.decoding import decode
from gitops_ml.errors import InputError
from gitops_ml.page.render import Page

MARKER = ".gitops-ml-site"
"""The file that says that a folder is a site, and may be written again. Below its first line: the pages' digests."""
_FIRST_LINE = b"Written by gitops-ml site, which overwrites what is here.\n"


def require_own_folder(folder: Path) -> None:
    """Raise `InputError` for a path that is no folder, or a folder that holds other files than a site's."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is no folder", why="a site is many files", fix="name a new folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARKER).is_file():
        raise InputError(
            f"{folder} holds other files", why="a site is written into a folder of its own", fix="name a new folder"
        )


def written_pages(folder: Path) -> dict[str, str]:
    """The digests of the pages that an earlier site wrote and that are there still, by path."""
    try:
        digests = decode((folder / MARKER).read_bytes().removeprefix(_FIRST_LINE), dict[str, str])
    except (OSError, msgspec.MsgspecError):
        return {}
    return {
        path: digest
        for path, digest in digests.items()
        if (folder / path).is_file() and not (folder / path).is_symlink()
    }


def write_site(folder: Path, pages: Iterable[Page]) -> int:
    """Write the pages, and remove those of an earlier site that are gone. Return how many pages there are.

    Args:
        pages: those without a text are left as they are.

    Raises:
        InputError: the folder holds other files, or cannot be written.
    """
    require_own_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARKER).write_bytes(_FIRST_LINE)  # whoever is stopped now has written pages without digests
        written, digests = {folder / MARKER}, {}
        for path, text, digest in pages:
            file = folder / path
            if file.parent not in written:
                for parent in file.parents:
                    if folder in parent.parents and parent.is_symlink():
                        parent.unlink()  # what it leads to is not ours
                file.parent.mkdir(parents=True, exist_ok=True)
                written.add(file.parent)
            if text is not None:
                file.unlink(missing_ok=True)  # it may be a link
                file.write_text(text, encoding="utf-8", errors="replace")
            written.add(file)
            if digest:
                digests[path] = digest
        _remove_others(folder, written)
        (folder / MARKER).write_bytes(_FIRST_LINE + msgspec.json.encode(digests))
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written", why=error.strerror or str(error), fix="name a folder that you may write"
        ) from error
    return sum(1 for path in written if path.suffix == ".html")


def _remove_others(folder: Path, written: set[Path]) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path in written:
            continue
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif not any(path.iterdir()):
            path.rmdir()
