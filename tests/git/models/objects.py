"""Digests of a project, and the objects of its DVC cache and remote."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import yaml

from gitops_ml.clients.git.repository import Repository


def md5(data: bytes) -> str:
    return f"md5:{hashlib.md5(data).hexdigest()}"


def digest_in_lock(repo: Repository, rev: str, path: str) -> str:
    """The digest of an output in dvc.lock."""
    lock = yaml.safe_load(repo.read_file(repo.resolve(rev), "dvc.lock") or b"")
    out = next(o for o in lock["stages"]["train"]["outs"] if o["path"] == path)
    return f"md5:{out['md5']}".removesuffix(".dir")


def object_of(folder: Path, digest: str, suffix: str = "") -> Path:
    name = digest.removeprefix("md5:") + suffix
    return folder / "files" / "md5" / name[:2] / name[2:]


def empty_cache(project: Path) -> None:
    shutil.rmtree(project / ".dvc" / "cache")
