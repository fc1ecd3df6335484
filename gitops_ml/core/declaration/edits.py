"""The edit of a declaration to another version: which file, which fields, and the commit's message.

`bump` takes the version from the tags, `promote` from another environment where it is Verified. The edit is the same,
and `clients.files.yaml_edit` makes it in the text.
"""

from __future__ import annotations

import re

from gitops_ml.core.declaration.hosts import split_full_name
from gitops_ml.core.declaration.values import NAME_PATTERN, label_of
from gitops_ml.errors import InputError

_PLAIN = re.compile(r"[A-Za-z]([A-Za-z0-9._/@:+-]*[A-Za-z0-9])?")
_WORDS = {"true", "false", "yes", "no", "on", "off", "null"}


def check_name(kind: str, name: str) -> str:
    """Return `name`. Raises InputError, which names the `kind`, if it is no DNS label."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise InputError(
            f"'{name}' is no name for {kind}",
            why="it must be a DNS label: a-z, 0-9 and -, at most 40 characters, no - at its ends",
            fix=f"write {label_of(name)}" + (f", and --model {name} for the model" if kind == "a deployment" else ""),
        )
    return name


def declaration_path(environment: str, deployment: str) -> str:
    """The file that declares `deployment` in `environment`. Raises InputError if either is no valid name."""
    name, host = split_full_name(environment)
    if host:
        raise InputError(
            f"{environment} has no declarations of its own", why=f"all hosts of {name} share them", fix=f"write {name}"
        )
    check_name("an environment", environment)
    check_name("a deployment", deployment)
    return f"environments/{environment}/models/{deployment}.yaml"


def bumped(version: str, digest: str) -> dict[str, str]:
    """The fields of a declaration that a new version changes."""
    return {"version": version, "digest": digest}


def new_declaration(model: str, version: str, digest: str) -> str:
    """The text of a first declaration: the required fields, and a strategy that keeps the incumbent serving."""
    return (
        f"schema: 1\nmodel: {_scalar(model)}\nversion: {_scalar(version)}\ndigest: {digest}\n"
        "replicas: 1\nresources: {cpus: 1.0, memory: 512m}\nrollout: {strategy: blue-green}\n"
    )


def _scalar(text: str) -> str:
    """`text` as a YAML scalar, in quotes where it could be read as something else: `no`, `1234567`."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return "'" + text.replace("'", "''") + "'"


def bump_message(environment: str, deployment: str, before: str | None, after: str) -> str:
    """The message of a bump commit, made only from its change. `before` is None for a first declaration."""
    if before is None:
        return f"Deploy {deployment} {after} to {environment}\n"
    if before == after:
        return f"Pin what {deployment} {after} holds in {environment}\n"
    return f"Bump {deployment} in {environment} from {before} to {after}\n"
