"""msgspec where several threads decode: each type is prepared by one thread alone.

msgspec 0.21 reads the fields of a struct when the struct is first decoded. A thread that decodes the same struct
meanwhile crashes the process (SIGSEGV).
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import msgspec

Kind = TypeVar("Kind")
_prepared: dict[Any, msgspec.json.Decoder[Any]] = {}
_preparing = threading.Lock()


def decoder(kind: type[Kind]) -> msgspec.json.Decoder[Kind]:
    """The decoder of JSON of a type."""
    ready = _prepared.get(kind)
    if ready is None:
        with _preparing:
            ready = _prepared.setdefault(kind, msgspec.json.Decoder(kind))
    return ready


def decode(content: bytes | str, kind: type[Kind]) -> Kind:
    """Decode JSON, as `msgspec.json.decode`. Raises `msgspec.DecodeError` and `UnicodeDecodeError`."""
    return decoder(kind).decode(content)


def convert(value: object, kind: type[Kind]) -> Kind:
    """Convert plain values to a type, as `msgspec.convert`. Raises `msgspec.ValidationError`."""
    decoder(kind)
    return msgspec.convert(value, kind)
