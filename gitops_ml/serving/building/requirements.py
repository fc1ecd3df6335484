"""A model's `requirements.txt`, read as a lock and as nothing else.

pip does much more with such a file: it fetches addresses, reads further files, asks other indexes and builds source
archives, which runs their code. So only pinned and hashed names are taken over, and pip reads what is written here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import Marker, UndefinedComparison, UndefinedEnvironmentName, default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from gitops_ml.errors import ModelRejected

SERVER_LOCK = Path(__file__).with_name("server-requirements.txt")
"""What the model server itself imports, locked by `make lock`."""
CONTAINER_PYTHON = "3.11"
OLDEST = {"h11": "0.14", "msgspec": "0.19", "prometheus-client": "0.21", "starlette": "0.45", "uvicorn": "0.34"}
"""The oldest versions with which the server itself runs, as in pyproject.toml. It calls little of numpy and
pandas, so a model may bring older ones."""

# Both begin at the start of a run of spaces only: else a long run would take time that grows with its square.
_HASHES = re.compile(r"(?<!\s)(?:\s+--hash=(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}))+\s*$")
_COMMENT = re.compile(r"(?:^|(?<!\s)\s+)#.*$")
_MOST_NAMED = 10


@dataclass(frozen=True)
class Pin:
    """One locked distribution: its normalized name, its version, whether a container installs it, and pip's line."""

    name: str
    version: str
    applies: bool
    line: str


def read_lock(content: bytes) -> list[Pin]:
    """Read a lock: lines `name==version --hash=…`, with extras and markers.

    Raises:
        ModelRejected: another line, or one distribution pinned twice. Names each such line and what is wrong with it.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_a_lock([f"it is not UTF-8 ({error.reason} at byte {error.start})"]) from error
    problems: list[str] = []
    pins: list[Pin] = []
    for number, line in _logical_lines(text):
        try:
            pins.append(_pin(line))
        except ValueError as error:
            problems.append(f"line {number}: {line[:60]!r} {error}")
    versions: dict[str, str] = {}
    for pin in pins:
        if pin.applies and versions.setdefault(pin.name, pin.version) != pin.version:
            problems.append(f"{pin.name} is pinned at {versions[pin.name]} and at {pin.version}")
    if problems:
        raise _not_a_lock(problems)
    return pins


def with_server(pins: Iterable[Pin], server: bytes | None = None) -> bytes:
    """The requirements file of a runtime image: a model's lock, and of the server's own what the lock lacks.

    Args:
        server: the server's own lock; None takes `SERVER_LOCK`.

    Raises:
        ModelRejected: the lock has a version with which the server does not run. Names both versions.
    """
    own = list(pins)
    old = [pin for pin in own if pin.applies and Version(pin.version) < Version(OLDEST.get(pin.name, "0"))]
    if old:
        raise ModelRejected(
            f"the model and the model server cannot agree on {', '.join(pin.name for pin in old)}",
            why="; ".join(
                f"the model's requirements.txt pins {pin.name} {pin.version}, and the server needs "
                f"{OLDEST[pin.name]} or newer"
                for pin in old
            ),
            fix="leave it out of requirements.txt if the model does not import it, or train with a newer version",
        )
    names = {pin.name for pin in own if pin.applies}
    added = [pin for pin in read_lock(SERVER_LOCK.read_bytes() if server is None else server) if pin.name not in names]
    return "".join(f"{pin.line}\n" for pin in sorted([*own, *added], key=lambda pin: pin.line)).encode()


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines with content, with the number of their first line; a backslash at the end joins the next line."""
    begun, first = "", 0
    for number, line in enumerate(text.split("\n"), 1):
        begun, first = (begun, first) if begun else ("", number)
        stripped = line.rstrip("\r")
        if stripped.endswith("\\") and not stripped.lstrip().startswith("#"):
            begun += stripped[:-1] + " "
            continue
        whole = _COMMENT.sub("", (begun + stripped).replace("\t", " ")).strip()
        begun = ""
        if whole:
            yield first, whole
    if begun.strip():
        yield first, begun.strip()


def _pin(line: str) -> Pin:
    """Read one line. Raises `ValueError` with what is wrong."""
    if line.startswith("-"):
        raise ValueError("is an option")
    if "${" in line:
        raise ValueError("names a variable")
    if not (line.isascii() and line.isprintable()):
        raise ValueError("holds characters that pip may take for the end of a line")
    hashes = _HASHES.search(line)
    bare = line[: hashes.start()] if hashes else line
    try:
        requirement = Requirement(bare)
    except (InvalidRequirement, RecursionError) as error:
        raise ValueError("is no `name==version`") from error
    if requirement.url:
        raise ValueError("names an address")
    specifiers = list(requirement.specifier)
    if len(specifiers) != 1 or specifiers[0].operator != "==" or specifiers[0].version.endswith("*"):
        raise ValueError("pins no version")
    if not hashes:
        raise ValueError("has no --hash")
    return Pin(
        name=canonicalize_name(requirement.name),
        version=specifiers[0].version,
        applies=requirement.marker is None or _applies(requirement.marker),
        line=f"{requirement} {' '.join(hashes[0].split())}",
    )


def _applies(marker: Marker) -> bool:
    """Whether a model's container installs what has this marker. Raises `ValueError` if that cannot be said."""
    environment = default_environment() | {
        "python_version": CONTAINER_PYTHON,
        "python_full_version": f"{CONTAINER_PYTHON}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "extra": "",
    }
    try:
        return marker.evaluate({key: str(value) for key, value in environment.items()})
    except (UndefinedComparison, UndefinedEnvironmentName) as error:
        raise ValueError("has a marker that compares what cannot be compared") from error


def _not_a_lock(problems: list[str]) -> ModelRejected:
    more = f"; and {len(problems) - _MOST_NAMED} more" if len(problems) > _MOST_NAMED else ""
    return ModelRejected(
        "the model's requirements.txt is not a lock",
        why="; ".join(problems[:_MOST_NAMED]) + more,
        fix="lock with hashes: uv pip compile --generate-hashes --only-binary :all: --no-emit-index-url "
        f"--python-version {CONTAINER_PYTHON} requirements.in -o requirements.txt",
    )
