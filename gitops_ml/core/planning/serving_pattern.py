"""Refuse a `serve:` that lacks what its pattern needs, or that says what its pattern does not read."""

from __future__ import annotations

import re

from gitops_ml.core.declaration.serving import Serve
from gitops_ml.errors import InputError

IMAGE = re.compile(r"([^@]+@)?sha256:[0-9a-f]{64}")
_READ_BY_EMBED = ("build", "model_path", "version_path")


def require_pattern(name: str, serve: Serve) -> None:
    """Check that `serve:` has what its pattern needs, and nothing that its pattern does not read."""
    by_digest = bool(serve.image and IMAGE.fullmatch(serve.image))
    if serve.pattern == "image" and not (by_digest and serve.port):
        raise InputError(
            f"{name}: serve.pattern is image",
            why="it needs `image:` by digest (name@sha256:…, or an image ID of that engine) and `port:`",
            fix="add them to serve",
        )
    if serve.pattern == "embed" and not ((by_digest or serve.build) and serve.model_path and serve.port):
        raise InputError(
            f"{name}: serve.pattern is embed",
            why="it needs the application, as `image:` by digest or as `build:`, and `model_path:` and `port:`",
            fix="add what is missing to serve",
        )
    if serve.build and serve.image:
        raise InputError(
            f"{name}: serve has both `image:` and `build:`",
            why="either of them is the application",
            fix="remove one of them",
        )
    unread = [key for key in _READ_BY_EMBED if getattr(serve, key)] if serve.pattern != "embed" else []
    if unread:
        raise InputError(
            f"{name}: serve.{unread[0]} does not go with serve.pattern {serve.pattern}",
            why="it is of an application that loads the model from its own container",
            fix="remove it, or write pattern: embed",
        )
    if serve.by_model_server and (serve.request or serve.response):
        key = "request" if serve.request else "response"
        raise InputError(
            f"{name}: serve.{key} does not go with serve.pattern {serve.pattern}",
            why="the model server is asked by the Open Inference Protocol",
            fix="remove it, or serve an application with pattern: image or embed",
        )
    if bool(serve.request) != bool(serve.response):
        has, lacks = ("request", "response") if serve.request else ("response", "request")
        raise InputError(
            f"{name}: serve has `{has}:` and no `{lacks}:`",
            why="a check has to ask the application, and to read its answer",
            fix=f"add `{lacks}:` to serve, or remove `{has}:`",
        )
