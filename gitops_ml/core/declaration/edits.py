"""A promotion is an edit of a declaration: which file, which fields, and what the commit says of it. Nothing
runs.

`bump` takes a version from the tags, `promote` takes it from another environment where it stands Verified;
the edit is the same. How the text is changed without touching the rest of it is `clients.declarations`.
"""

from __future__ import annotations

import re

from gitops_ml.core.declaration.values import NAME_PATTERN
from gitops_ml.errors import InputError


def check_name(kind: str, name: str) -> str:
    """`name` itself. Raises InputError, which says what `kind` of name it is, when it is no DNS label."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise InputError(
            f"'{name}' is no name for {kind}",
            why="it must be a DNS label: a-z, 0-9 and -, at most 40 characters, no - at its ends",
            fix="use lower-case letters, digits and dashes",
        )
    return name


def declaration_path(environment: str, deployment: str) -> str:
    """The file that declares `deployment` in `environment`. Raises InputError when one of them is no name."""
    check_name("an environment", environment)
    check_name("a deployment", deployment)
    return f"environments/{environment}/models/{deployment}.yaml"


def bumped(version: str, digest: str) -> dict[str, str]:
    """The fields of a declaration that a new version changes: those two, and no others."""
    return {"version": version, "digest": digest}


def new_declaration(model: str, version: str, digest: str) -> str:
    """The text of a first declaration: what has to be said, and a strategy that keeps the incumbent serving."""
    return (
        f"schema: 1\nmodel: {model}\nversion: {version}\ndigest: {digest}\n"
        "replicas: 1\nresources: {cpus: 1.0, memory: 512m}\nrollout: {strategy: blue-green}\n"
    )


def bump_message(environment: str, deployment: str, before: str | None, after: str) -> str:
    """The message of the commit that bumps; made only from what it changes."""
    if before is None:
        return f"Deploy {deployment} {after} to {environment}\n"
    if before == after:
        return f"Pin what {deployment} {after} holds in {environment}\n"
    return f"Bump {deployment} in {environment} from {before} to {after}\n"
