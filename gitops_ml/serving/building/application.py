"""Makes the build context of an application that a model is embedded in: files as Git has them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping

from gitops_ml.serving.building.context import with_folders

_EXECUTABLE, _LINK = "100755", "120000"


def application_context(files: Mapping[str, tuple[str, bytes]]) -> bytes:
    """Make the build context (a tar) of these files by relative name; the same files give the same bytes.

    Args:
        files: the mode of each as in Git, and its content; of a symbolic link, where it points.
    """
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, file in with_folders(files).items():
            entry = tarfile.TarInfo(name.rstrip("/"))
            entry.mode = 0o755
            if isinstance(file, bytes):
                entry.type = tarfile.DIRTYPE
                archive.addfile(entry)
                continue
            mode, data = file
            if mode == _LINK:
                entry.type, entry.linkname = tarfile.SYMTYPE, data.decode()
                archive.addfile(entry)
                continue
            entry.mode, entry.size = 0o755 if mode == _EXECUTABLE else 0o644, len(data)
            archive.addfile(entry, io.BytesIO(data))
    return context.getvalue()
