"""The application that a model is embedded in: an image, or files of the repository that an image is built from."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from gitops_ml.core.declaration.values import DeclaredStruct

FOLDER_PATTERN = r"^(?!environments(/|$))(?!(.*/)?\.\.?(/|$))[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$(?!\n)"
MODEL_PATH_PATTERN = r"^(?!/(tmp|proc|sys|dev|run)(/|$))(?!.*/\.\.?(/|$))(/[A-Za-z0-9._-]{1,100}){1,10}$(?!\n)"
"""A container's /tmp, /proc, /sys and /dev hide what an image has there, and /run holds its secrets."""
COMMIT_PATTERN = r"^[0-9a-f]{40,64}$(?!\n)"

_Folder = Annotated[
    str,
    Meta(pattern=FOLDER_PATTERN, description="a path of the repository below its root, and not in environments/"),
]
ModelPath = Annotated[
    str,
    Meta(pattern=MODEL_PATH_PATTERN, description="a folder in the container, not below /tmp, /proc, /sys, /dev, /run"),
]


class Build(DeclaredStruct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An application that is built on the engine, from the files that the declaring commit has in the folder `context`.

    `dockerfile`: its path in that folder. `commit`: take the files of this commit instead. A revert, a rollback and a
    promotion write it, and the application stays as it is there until a person removes it.
    """

    context: _Folder
    dockerfile: _Folder = "Dockerfile"
    commit: Annotated[str, Meta(pattern=COMMIT_PATTERN, description="a full commit id")] | None = None


class Application(msgspec.Struct, frozen=True, kw_only=True):
    """What a model is embedded in: `image` by its digest; or what `dockerfile` makes of the folder `context`.

    `commit` has the folder, and `tree` is the folder's Git tree.
    """

    image: str | None = None
    context: str = ""
    dockerfile: str = ""
    commit: str = ""
    tree: str = ""

    @property
    def content(self) -> str:
        """What decides its image. The same files in another folder or commit are the same application."""
        return self.image or f"{self.tree} {self.dockerfile}"
