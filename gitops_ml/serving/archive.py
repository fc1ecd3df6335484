"""Packs files into a tar, as the engine takes build contexts, images and files for containers."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping


def pack(files: Mapping[str, bytes], *, owner: int = 0, mode: int = 0o444, time: int = 0) -> bytes:
    """Make a tar of files by relative name, in their order. A name that ends in a slash is a folder.

    Args:
        owner: user and group of all entries.
        mode: permissions of the files; folders have 755.
        time: modification time of all entries, in epoch seconds.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name.rstrip("/"))
            entry.uid = entry.gid = owner
            entry.mtime = time
            if name.endswith("/"):
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            else:
                entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
