"""Where the bytes of a model's version are, and the files beside them that say what they mean."""

from __future__ import annotations

import msgspec


class Sidecar(msgspec.Struct, frozen=True, kw_only=True):
    """The folder `serving/<model>/` at `path` of `commit`. `digest` is the id of its Git tree."""

    commit: str
    path: str
    digest: str


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """What a version of a model holds.

    `digest` is `md5:<hex>[.dir]`, `revision` the commit that the version names, `path` the artifact's path in that
    commit. `sidecar` is the folder of the files that make the artifact servable, where the artifact has none.
    """

    digest: str
    revision: str
    path: str
    sidecar: Sidecar | None = None
