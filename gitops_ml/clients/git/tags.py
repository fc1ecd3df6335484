"""Tags, read by `for-each-ref`: GitPython's `TagReference` reads one object per tag."""

from __future__ import annotations

from gitops_ml.clients.git.clone import Clone
from gitops_ml.clients.git.commits import identity
from gitops_ml.core.versions.tags import Tag
from gitops_ml.errors import InputError

_FORMAT = "%00".join(
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


def list_tags(clone: Clone, root: str, where: str) -> list[Tag]:
    """The tags under the ref prefix or glob `where`, named relative to `root`."""
    tags = []
    for line in clone.git.must("for-each-ref", f"--format={_FORMAT}", where).lines:
        ref, kind, target, inner_kind, inner, created, tagger, email = line.split("\0")
        annotated = kind == "tag"
        commit = inner if annotated else target
        if (inner_kind if annotated else kind) != "commit":
            tagged = clone.read_object(f"{target}^{{commit}}")
            if tagged is None:
                continue
            commit = tagged.id
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


def create_tag(clone: Clone, name: str, commit: str, message: str) -> None:
    """Make an annotated tag. Raises InputError when it exists or Git does not accept its name."""
    clone.require_ref(f"refs/tags/{name}")
    # The tagger's date orders GTO's events, and git keeps whole seconds; nothing of ours may depend on their order.
    # By default git drops lines that begin with `#`, or whatever `core.commentChar` is.
    command = ("tag", "-a", "--cleanup=whitespace", "-F", "-", "--", name, commit)
    made = clone.git.run(*command, stdin=message.encode(), env=identity(clone.config))
    if made.code != 0:
        raise InputError(f"the tag {name} could not be made", why=made.messages[-300:], fix=f"git show {name}")
