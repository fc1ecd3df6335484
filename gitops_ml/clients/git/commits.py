"""Commits and tags made by plumbing, so that neither the user's index nor work tree nor hooks ever notice."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gitops_ml.clients.git.process import Git
from gitops_ml.core.versions.tags import Tag
from gitops_ml.errors import InputError, SourceError

if TYPE_CHECKING:
    from gitops_ml.clients.git.repository import Repository


class Author(NamedTuple):
    """Who a commit is said to be by."""

    name: str
    email: str


class Commit(NamedTuple):
    """One commit of a log; `time` is the committer's, in epoch seconds."""

    id: str
    author: str
    email: str
    time: int
    subject: str
    message: str


AUTHOR = Author("gitops-ml", "gitops-ml@localhost")

_TAG_FORMAT = "%00".join(
    f"%({field})"
    for field in (
        "refname",
        "objecttype",
        "objectname",
        "*objecttype",
        "*objectname",
        "creatordate:unix",
        "taggername",
        "taggeremail",
    )
)


def identity(repository: Repository) -> dict[str, str]:
    """The committer of our commits and tags: the user's Git identity, if there is one, else gitops-ml."""
    config = repository.config
    name = os.environ.get("GIT_COMMITTER_NAME") or config.get("committer.name") or config.get("user.name")
    email = os.environ.get("GIT_COMMITTER_EMAIL") or config.get("committer.email") or config.get("user.email")
    return {"GIT_COMMITTER_NAME": name or AUTHOR.name, "GIT_COMMITTER_EMAIL": email or AUTHOR.email}


def commit_files(
    repository: Repository, parent: str, changes: Mapping[str, bytes | None], message: str, author: Author
) -> str:
    """See `Repository.commit_files`."""
    git = repository.git
    lines = bytearray()
    for path, data in sorted(changes.items()):
        entry = repository.entry(parent, path)
        if data is None:
            if entry is not None:
                lines += f"0 {'0' * len(parent)}\t{path}\0".encode("utf-8", "surrogateescape")
            continue
        blob = git.must("hash-object", "-w", "--stdin", stdin=data).text
        if entry is not None and entry.id == blob:
            continue
        mode = entry.mode if entry is not None and entry.mode.startswith("100") else "100644"
        lines += f"{mode} {blob}\t{path}\0".encode("utf-8", "surrogateescape")
    if not lines:
        return parent
    with tempfile.TemporaryDirectory(prefix="gitops-ml-") as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git.must("read-tree", parent, env=index)
        git.must("update-index", "-z", "--index-info", stdin=bytes(lines), env=index)
        tree = git.must("write-tree", env=index).text
    who = identity(repository) | {"GIT_AUTHOR_NAME": author.name, "GIT_AUTHOR_EMAIL": author.email}
    signed = ["-S"] if repository.config.get("commit.gpgsign", "").lower() in ("true", "yes", "on", "1") else []
    done = git.run("commit-tree", *signed, "-p", parent, tree, stdin=message.encode(), env=who)
    if done.code != 0:
        raise SourceError(
            "the commit could not be made",
            why=done.messages[-300:],
            fix="git commit --allow-empty -S -m test shows it too" if signed else "git config user.name",
        )
    return done.text


def log(git: Git, path: str, n: int, rev: str) -> list[Commit]:
    """See `Repository.log`."""
    only = ["--", path] if path else ["--"]
    done = git.must("log", "-z", f"-n{n}", "--format=%H%n%an%n%ae%n%ct%n%B", rev, *only)
    found = []
    for text in done.out.decode("utf-8", "replace").split("\0"):
        if text.strip():
            commit, author, email, time, message = text.lstrip("\n").split("\n", 4)
            found.append(Commit(commit, author, email, int(time), message.split("\n", 1)[0], message.strip("\n")))
    return found


def list_tags(git: Git, root: str, where: str) -> list[Tag]:
    """The tags under the ref prefix or glob `where`, named relative to `root`."""
    done = git.must("for-each-ref", f"--format={_TAG_FORMAT}", where)
    tags = []
    for line in done.out.decode("utf-8", "surrogateescape").splitlines():
        ref, kind, target, inner_kind, inner, created, tagger, email = line.split("\0")
        annotated = kind == "tag"
        commit = inner if annotated else target
        if (inner_kind if annotated else kind) != "commit":
            found = git.read_one(f"{ref}^{{commit}}")
            if found is None:
                continue
            commit = found.id
        tags.append(
            Tag(
                name=ref.removeprefix(f"{root}/"),
                commit=commit,
                created=int(created or 0),
                annotated=annotated,
                tagger=f"{tagger} {email}".strip(),
            )
        )
    return tags


def create_tag(repository: Repository, name: str, commit: str, message: str) -> None:
    """See `Repository.create_tag`."""
    git = repository.git
    if git.run("check-ref-format", f"refs/tags/{name}").code != 0:
        raise InputError(f"'{name}' is no name for a tag", fix="git help check-ref-format")
    # The tagger's date orders GTO's events, and git keeps whole seconds; nothing of ours may depend on their
    # order.
    done = git.run("tag", "-a", "-F", "-", name, commit, stdin=message.encode(), env=identity(repository))
    if done.code != 0:
        raise InputError(f"the tag {name} could not be made", why=done.messages[-300:], fix=f"git show {name}")


def verify_commit_signature(repository: Repository, commit: str, allowed_signers: bytes) -> str:
    """See `Repository.verify_commit_signature`."""
    fix = "sign it (git commit --amend -S), or add the key to .gitops-ml/allowed_signers in a signed commit"
    found = repository.git.read_one(f"{commit}^{{commit}}")
    header = (found.data or b"").partition(b"\n\n")[0] if found else b""
    # A GPG signature would be judged by the keyring of whoever runs this, and not by the repository's own
    # list.
    if b"-----BEGIN SSH SIGNATURE-----" not in header:
        raise SourceError(f"commit {commit[:12]} is not signed with an SSH key", fix=fix)
    with tempfile.TemporaryDirectory(prefix="gitops-ml-") as folder:
        signers = Path(folder) / "allowed_signers"
        signers.write_bytes(allowed_signers)
        options = (
            f"gpg.ssh.allowedSignersFile={signers}",
            "gpg.ssh.revocationFile=",
            "gpg.ssh.program=ssh-keygen",
        )
        flags = [word for option in options for word in ("-c", option)]
        done = repository.git.run(*flags, "log", "-1", "--format=%G?%n%GS", commit)
    state, _, signer = done.text.partition("\n")
    if done.code != 0 or state != "G":
        raise SourceError(
            f"commit {commit[:12]} is not signed by anyone in .gitops-ml/allowed_signers",
            why=done.messages.splitlines()[-1] if done.messages else f"git says '{state}'",
            fix=fix,
        )
    return signer.strip()
