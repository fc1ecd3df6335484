"""The scalar values that people write in `environments/`: names, durations, sizes and paths.

Durations and sizes stay the text that a person wrote. `seconds` and `size_bytes` turn them into numbers.
"""

from __future__ import annotations

import functools
import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gitops_ml.errors import InputError

NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$(?!\n)"
"""`$` alone also matches before a last line end, in Python though not in a JSON Schema."""
MODEL_PATTERN = r"^([a-zA-Z0-9_./-]+:)?[a-zA-Z0-9]([a-zA-Z0-9/_-]*[a-zA-Z0-9])?$(?!\n)"
"""The names of models that GTO and DVC accept (`fullname` in `gto.constants`)."""
DURATION_PATTERN = r"^[0-9]{1,9}(\.[0-9]{1,9})?(ms|s|m|h|d)$(?!\n)"
SIZE_PATTERN = r"^[0-9]{1,12}(k|m|g)$(?!\n)"
SHARE_PATTERN = r"^(100|[0-9]{1,2})%$(?!\n)"
DIGEST_PATTERN = r"^md5:[0-9a-f]{32}(\.dir)?$(?!\n)"
ENV_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]{0,127}$(?!\n)"
VERSION_PATTERN = r"^(?!-)[^\x00-\x1f\x7f]+$(?!\n)"
URL_PATH_PATTERN = r"^/([A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2}){0,199}$(?!\n)"
"""The path and query of a URL (RFC 3986), which the gateway asks every two seconds."""
PATH_PATTERN = r"^/[^\x00]+$"
TEXT_PATTERN = r"^[^\x00]*$"
BRANCH_PATTERN = (
    r"^(?!-)(?!.*(\.\.|//|/\.|@\{|\.lock(/|$)))"
    r"[^\x00-\x20\x7f~^:?*\[\\/.][^\x00-\x20\x7f~^:?*\[\\]*(?<![/.])$(?!\n)"
)
"""The names that `git check-ref-format --branch` accepts."""
IMAGE_PATTERN = r"^([^@\s]+@)?sha256:[0-9a-f]{64}$(?!\n)"
ENGINE_PATTERN = r"^(unix:///[^\s]+|ssh://[^/\s]+(/[^\s]*)?|tcp://[^/\s]+)$(?!\n)"
REGISTRY_PATTERN = (
    r"^(localhost|[a-z0-9][a-z0-9-]*(?=[.:])(\.[a-z0-9-]+)*)(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$(?!\n)"
)
"""As Docker reads it: a first part with neither dot nor port is a folder of Docker Hub."""

Engine = Annotated[str, Meta(pattern=ENGINE_PATTERN)]
Registry = Annotated[
    str,
    Meta(
        pattern=REGISTRY_PATTERN,
        description="host[:port][/path], lower case; the host has a dot or a port, or is localhost",
    ),
]
Name = Annotated[str, Meta(pattern=NAME_PATTERN, description="a DNS label of at most 40 characters")]
ModelName = Annotated[
    str,
    Meta(
        pattern=MODEL_PATTERN,
        max_length=200,
        description="a name under artifacts: in dvc.yaml, as FOLDER:NAME where that dvc.yaml is not in the root",
    ),
]
Duration = Annotated[str, Meta(pattern=DURATION_PATTERN, description="a number with ms, s, m, h or d, such as 30s")]
Size = Annotated[str, Meta(pattern=SIZE_PATTERN, description="a number with k, m or g, such as 512m")]
Digest = Annotated[str, Meta(pattern=DIGEST_PATTERN, description="the digest that `gitops-ml bump` wrote")]
EnvName = Annotated[str, Meta(pattern=ENV_PATTERN)]
ImageByDigest = Annotated[
    str,
    Meta(pattern=IMAGE_PATTERN, description="an image by its digest (name@sha256:…), or an image ID of that engine"),
]
Url = Annotated[
    str,
    Meta(
        pattern=r"^(https?://|\$\{endpoint\})[^@\s]*$",
        description="http:// or https://, without a password; or ${endpoint}, with or without a path after it",
    ),
]

Secret = Annotated[str, Meta(pattern=PATH_PATTERN, max_length=4000)]
EnvValue = Annotated[str, Meta(pattern=TEXT_PATTERN, max_length=30_000)]
"""Linux takes 128 KiB in one variable of a process; a character may take four bytes."""
Version = Annotated[
    str,
    Meta(pattern=VERSION_PATTERN, max_length=200, description="a tag of the model such as v1.2.0, or a Git revision"),
]
UrlPath = Annotated[
    str, Meta(pattern=URL_PATH_PATTERN, description="the path of a URL, which begins with /, at most 200 characters")
]

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"k": 1024, "m": 1024**2, "g": 1024**3}


class DeclaredStruct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The base of what people declare: frozen, and an unknown key is an error."""


def label_of(model: str) -> str:
    """The DNS label nearest to a model's name: `fraud-model` for `FraudModel` and `fraud_model`.

    A label is its own. Different models may have the same one.
    """
    if re.fullmatch(NAME_PATTERN, model):
        return model
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", model).lower()
    return re.sub(r"[^a-z0-9]+", "-", words).strip("-")[-40:].strip("-") or "model"


@functools.lru_cache(maxsize=1024)
def seconds(duration: str) -> float:
    """Convert a duration such as `200ms`, `30s` or `1h` to seconds. Raises `InputError` for any other text."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)", duration)
    if not match:
        raise InputError(f"`{duration}` is not a duration", fix="write a number with ms, s, m, h or d, such as 30s")
    return float(match[1]) * _SECONDS[match[2]]


def require_within(key: str, duration: str, lowest: str, highest: str) -> None:
    """Check that a duration lies within these two. Raises `ValueError`, in words for the file where `key` stands."""
    if not seconds(lowest) <= seconds(duration) <= seconds(highest):
        raise ValueError(f"`{key}` is {duration}, and must be from {lowest} to {highest}")


def size_bytes(size: str) -> int:
    """Convert a size such as `512m` to bytes, in binary multiples as Docker does. Raises `InputError`."""
    match = re.fullmatch(r"([0-9]+)(k|m|g)", size)
    if not match:
        raise InputError(f"`{size}` is not a size", fix="write a number with k, m or g, such as 512m")
    return int(match[1]) * _BYTES[match[2]]


@functools.cache
def _fields(kind: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(kind)


def differing(declared: Any) -> Any:
    """A declaration as plain data, with only the values that differ from their defaults.

    Resources and `serve` go through this function before they are hashed. A key that a newer version adds must not
    change the hash of those who do not use it, or an upgrade of the tool would roll every host. So no default may ever
    change, either.
    """
    if isinstance(declared, msgspec.Struct):
        values = {}
        for field in _fields(type(declared)):
            value = getattr(declared, field.name)
            default = field.default_factory() if callable(field.default_factory) else field.default
            if value != default:
                values[field.encode_name] = differing(value)
        return values
    if isinstance(declared, dict):
        return {key: differing(value) for key, value in declared.items()}
    if isinstance(declared, tuple | list):
        return [differing(value) for value in declared]
    return declared
