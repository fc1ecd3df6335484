"""Load a published model into an application, and follow the channel that publishes it.

It needs Python 3.11 on Unix and nothing else, not even the rest of gitops-ml: copy this file, or install the package.

    subscriber = Subscriber("http://models:8080/churn/channel", "/var/lib/scorer", load=load_model, name="scorer-1")
    subscriber.start()
    subscriber.wait().model.predict(...)  # always a whole model: the old one until the new one has been loaded

With `trust` it takes only what a key of the project has signed; `ssh-keygen` has to be installed for that.

Whatever goes wrong (the channel, the network, the disk, a digest, the new model itself), the application keeps the
model that it has. The protocol is in docs/publishing.md.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.client
import json
import logging
import os
import random
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

Model = TypeVar("Model")

SLOT_HEADER = "X-Gitops-Ml-Slot"
"""Where the gateway reads a subscriber's place among a hundred: a canary of 25% goes to the slots 0 to 24."""
SIGNATURES = "gitops-ml-channel"
"""The namespace of the signatures, as `ssh-keygen -n` names it."""
_SOON = 5.0
_PIECE = 1 << 20
_LONGEST_DESCRIPTOR = 4 << 20
_log = logging.getLogger("gitops_ml.subscriber")


class Unreachable(Exception):
    """The channel does not answer, or publishes something else by now. The model is not to blame."""


class Untrusted(Exception):
    """What the channel publishes is not signed, not by a key that is trusted, or was published before."""


class Trust(NamedTuple):
    """What a subscriber that asks for signatures takes.

    `channel` is the channel's own name, `<project>/<environment>/<deployment>`. `allowed_signers` is a file that lists
    who may sign for which channels, as ssh-keygen(1) describes under ALLOWED SIGNERS.
    """

    channel: str
    allowed_signers: str | os.PathLike[str]


class File(NamedTuple):
    """One file of a model; `sha256` is hexadecimal."""

    path: str
    size: int
    sha256: str


class Descriptor(NamedTuple):
    """What a channel publishes. `content` is the JSON that says so; an unsigned one has no `statement`."""

    version: str
    generation: str
    files: list[File]
    poll_seconds: float
    statement: str
    signature: str
    content: bytes

    @classmethod
    def read(cls, content: bytes) -> Descriptor:
        """Raises `Unreachable` where the content is no descriptor of schema 1, or names what would leave its folder."""
        try:
            data = json.loads(content)
            files = [File(str(f["path"]), int(f["size"]), str(f["sha256"])) for f in data["files"]]
            version, generation, poll = str(data["version"]), str(data["generation"]), float(data["poll_seconds"])
            signed = data.get("signed", {})
            statement, signature = str(signed.get("statement", "")), str(signed.get("signature", ""))
            parts = [part for file in files for part in file.path.split("/")]
            if data["schema"] != 1 or not re.fullmatch(r"[A-Za-z0-9]{1,64}", generation) or not files:
                raise ValueError("it is of another schema, or has no generation or no files")
            if not all(re.fullmatch(r"(?!\.\.?$)[^/\\\0]+", part) for part in parts):
                raise ValueError("a file would leave the model's folder")
            if not all(re.fullmatch(r"[0-9a-f]{64}", file.sha256) for file in files):
                raise ValueError("a file has no SHA-256")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise Unreachable(f"what the channel answers is no descriptor: {error!r}") from error
        return cls(version, generation, files, min(3600.0, max(0.1, poll)), statement, signature, content)

    def digest(self) -> str:
        """SHA-256 (hex) over all files: a line `path NUL size NUL sha256` for each, sorted by path."""
        lines = (f"{file.path}\0{file.size}\0{file.sha256}\n" for file in sorted(self.files))
        return hashlib.sha256("".join(lines).encode()).hexdigest()


class Loaded(NamedTuple, Generic[Model]):
    """A model that the application runs, since `since` (of `time.monotonic`)."""

    model: Model
    version: str
    generation: str
    since: float


class Subscriber(Generic[Model]):
    """One application's subscription to one channel.

    Args:
        channel: the channel's URL, `http://<gateway>/<deployment>/channel`.
        folder: a folder of this subscriber's own; the present model and the one before are kept there.
        load: makes a model of the folder that holds its files. If it raises, the generation has failed here.
        name: unique among the channel's subscribers: a letter or digit, then letters, digits, `.`, `_` and `-`; by
            default the host's name.
        headers: sent with each request, such as what a proxy before the gateway wants.
        timeout: seconds that the channel may stay silent.
        trust: whose signatures count; without it, whatever the channel publishes is taken.
    """

    def __init__(
        self,
        channel: str,
        folder: str | os.PathLike[str],
        load: Callable[[Path], Model],
        *,
        name: str = "",
        headers: Mapping[str, str] | None = None,
        timeout: float = 30.0,
        trust: Trust | None = None,
    ) -> None:
        self.name = name or socket.gethostname()
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", self.name):
            raise ValueError(f"{self.name!r} is no name: use letters, digits, `.`, `_` and `-`, at most 100")
        if trust and not shutil.which("ssh-keygen"):
            raise RuntimeError(
                "signatures cannot be checked: ssh-keygen is not installed (apt-get install openssh-client)"
            )
        self.current: Loaded[Model] | None = None
        self._trust, self._opener = trust, urllib.request.build_opener(_SameHost)
        self._channel, self._folder, self._load = channel.rstrip("/"), Path(folder), load
        self._headers, self._timeout = {SLOT_HEADER: str(slot_of(self.name)), **(headers or {})}, timeout
        self._failed = self._error = ""
        self._counts, self._counting = [0, 0], threading.Lock()
        self._ready, self._stopped = threading.Event(), threading.Event()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self._folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RuntimeError(f"another subscriber uses {self._folder}: give each its own folder") from error

    def wait(self, seconds: float | None = None) -> Loaded[Model]:
        """What the application runs. Waits for a first model. Raises `TimeoutError` after so many seconds."""
        if not self._ready.wait(seconds) or self.current is None:
            raise TimeoutError(f"no model of {self._channel} has been loaded yet")
        return self.current

    def count(self, scored: int = 1, errors: int = 0) -> None:
        """Count what the application did with the present model, for the next acknowledgement."""
        with self._counting:
            self._counts[0] += scored
            self._counts[1] += errors

    def start(self) -> None:
        """Load the model of the last time, then follow the channel in a thread of its own, until `close`."""
        self.restore()
        threading.Thread(target=self._follow, name=f"subscriber of {self._channel}", daemon=True).start()

    def close(self) -> None:
        """Stop following. The model stays."""
        self._stopped.set()
        self._lock.close()

    def restore(self) -> None:
        """Load what was loaded last, from the disk: an application starts without its channel."""
        try:
            descriptor = Descriptor.read((self._folder / "current.json").read_bytes())
            if self._trust:
                _require_signed(descriptor, self._trust)
            if self._is_whole(descriptor):
                self._take_up(descriptor)
        except Exception as error:
            _log.info("%s starts without a model: %s", self.name, error)

    def poll(self) -> float:
        """Ask once what is published, take it up if it is new, and acknowledge. Returns seconds until the next poll.

        It never raises for trouble of the channel, the network, the disk or the model.
        """
        try:
            with self._open("") as answer:
                descriptor = Descriptor.read(_read(answer, _LONGEST_DESCRIPTOR, whole=True))
            self._try(descriptor)
            self._acknowledge()
            return descriptor.poll_seconds
        except Unreachable as error:
            _log.warning("%s keeps its model: %s", self.name, error)
            return _SOON

    def _follow(self) -> None:
        while not self._stopped.is_set():
            try:
                wait = self.poll()
            except Exception:
                _log.exception("%s keeps its model", self.name)
                wait = _SOON
            self._await_news(wait * random.uniform(0.8, 1.2))

    def _try(self, descriptor: Descriptor) -> None:
        self._failed = ""
        try:
            if self._trust:
                self._require_in_order(*_require_signed(descriptor, self._trust))
            if self.current and self.current.generation == descriptor.generation:
                return
            with self._speaking(descriptor.poll_seconds):
                self._download(descriptor)
                self._take_up(descriptor)
        except Unreachable:
            raise
        except Exception as error:  # of a signature, the disk, a digest, or whatever the application's `load` raises
            self._failed, text = descriptor.generation, f"{type(error).__name__}: {error}"[:500]
            self._error = text.encode(errors="replace").decode()  # a name of a file may be no Unicode
            _log.warning("%s keeps its model, and cannot load %s: %s", self.name, descriptor.version, self._error)

    def _require_in_order(self, order: int, back_to: int | None) -> None:
        """Check that nothing is published again that was published before. Raises `Untrusted`.

        Nothing with a smaller `order` than the largest that this subscriber has seen is taken, but for what the
        statement with the largest one names as `back_to`: what served before, in case that the new generation fails.
        """
        seen = self._folder / "order.json"
        largest, its_back_to = json.loads(seen.read_bytes()) if seen.exists() else (0, None)
        if order < largest and order != its_back_to:
            raise Untrusted("it was published before what this subscriber has seen")
        if order > largest:
            _replace(seen, json.dumps([order, back_to]).encode())

    @contextlib.contextmanager
    def _speaking(self, seconds: float) -> Iterator[None]:
        """Acknowledge the present model every so many seconds meanwhile: who is silent counts as gone."""
        ended = threading.Event()

        def repeat() -> None:
            while not ended.wait(seconds):
                with contextlib.suppress(Unreachable):
                    self._acknowledge()

        threading.Thread(target=repeat, daemon=True).start()
        try:
            yield
        finally:
            ended.set()

    def _take_up(self, descriptor: Descriptor) -> None:
        """Load a model whose files are here, and swap it in by one assignment."""
        before, model = self.current, self._load(self._folder / descriptor.generation)
        with self._counting:
            self._counts = [0, 0]
        self.current = Loaded(model, descriptor.version, descriptor.generation, time.monotonic())
        self._ready.set()
        try:
            _replace(self._folder / "current.json", descriptor.content)
            for each in self._folder.iterdir() if before else ():
                if each.is_dir() and before and each.name not in (descriptor.generation, before.generation):
                    shutil.rmtree(each, ignore_errors=True)
        except OSError as error:
            _log.warning("%s runs %s, and cannot note it: %s", self.name, descriptor.version, error)

    def _is_whole(self, descriptor: Descriptor) -> bool:
        """Whether all files of a generation are here, as the descriptor says."""
        return all(_holds(self._folder / descriptor.generation / file.path, file) for file in descriptor.files)

    def _download(self, descriptor: Descriptor) -> None:
        """Have all files of a generation; those that did not change are copied from the present one."""
        if self._is_whole(descriptor):
            return
        folder, staged = self._folder / descriptor.generation, self._folder / f"{descriptor.generation}.part"
        shutil.rmtree(folder, ignore_errors=True)
        have = sum(path.stat().st_size for path in staged.rglob("*") if path.is_file())
        size, free = sum(file.size for file in descriptor.files) - have, shutil.disk_usage(self._folder).free
        if size > free:
            raise OSError(f"{size} more bytes are needed, and the disk has {free} left")
        for file in descriptor.files:
            target = staged / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            present = self._folder / (self.current.generation if self.current else "") / file.path
            if _holds(present, file):
                shutil.copyfile(present, target)
            elif not _holds(target, file):
                self._fetch(descriptor, file, target)
        staged.replace(folder)

    def _fetch(self, descriptor: Descriptor, file: File, target: Path) -> None:
        """Download one file, and resume what an earlier attempt has of it. Raises `ValueError` for a wrong digest."""
        have = target.stat().st_size if target.exists() else 0
        headers = {"Range": f"bytes={have}-"} if 0 < have < file.size else {}
        with self._open(f"/{descriptor.generation}/files/{urllib.parse.quote(file.path)}", headers) as answer:
            resumed = answer.status == 206
            left = file.size - (have if resumed else 0)
            with target.open("ab" if resumed else "wb") as sink:
                while left > 0 and (piece := _read(answer, min(left, _PIECE))):
                    sink.write(piece)
                    left -= len(piece)
        if left:
            raise Unreachable(f"{file.path} broke off, and {left} bytes are missing")
        if not _holds(target, file):
            target.unlink()
            raise ValueError(f"{file.path} has another digest than the descriptor says")

    def _acknowledge(self) -> None:
        scored, errors = self._counts
        said: dict[str, Any] = {"subscriber": self.name, "scored": scored, "errors": errors}
        if current := self.current:
            said |= {"generation": current.generation, "version": current.version}
            said["seconds"] = time.monotonic() - current.since
        said |= {"failed": self._failed, "error": self._error} if self._failed else {}
        self._open("/acknowledgements", {"Content-Type": "application/json"}, json.dumps(said).encode()).close()

    def _await_news(self, seconds: float) -> None:
        """Wait so long, or until the channel ends its event stream: then something else may be published."""
        deadline = time.monotonic() + seconds
        try:
            with self._open("/events", timeout=seconds + self._timeout) as stream:
                while time.monotonic() < deadline and not self._stopped.is_set() and _read(stream, _PIECE):
                    pass
            self._stopped.wait(random.uniform(0.1, 1.0))
        except Unreachable:
            self._stopped.wait(max(0.0, deadline - time.monotonic()))

    def _open(
        self, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None, timeout: float = 0.0
    ) -> http.client.HTTPResponse:
        request = urllib.request.Request(self._channel + path, body, {**self._headers, **(headers or {})})
        try:
            answer: http.client.HTTPResponse = self._opener.open(request, timeout=timeout or self._timeout)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unreachable(f"{self._channel}{path}: {error}") from error
        return answer


def slot_of(name: str) -> int:
    """A subscriber's place among a hundred: the first 8 hexadecimal digits of its name's SHA-256, modulo 100."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) % 100


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follows no redirect to another host: `headers` may hold a token, and models come from the channel alone."""

    def redirect_request(self, req: urllib.request.Request, *rest: Any) -> urllib.request.Request | None:
        there = urllib.parse.urlsplit(rest[-1])
        if (there.scheme, there.netloc) != (req.type, req.host):
            raise Unreachable(f"{req.full_url} redirects to another host: {there.scheme}://{there.netloc}")
        return super().redirect_request(req, *rest)


def _require_signed(descriptor: Descriptor, trust: Trust) -> tuple[int, int | None]:
    """Check that what a descriptor says was signed for this channel. Returns the statement's `order` and `back_to`.

    Raises `Untrusted`.
    """
    _verify(descriptor, trust)
    try:
        said = json.loads(descriptor.statement)
        signed = said["channel"], said["generation"], said["version"], said["files"]
        order, back_to = int(said["order"]), said["back_to"]
    except (ValueError, LookupError, TypeError) as error:
        raise Untrusted(f"the statement that was signed is of another form: {error!r}") from error
    if signed != (trust.channel, descriptor.generation, descriptor.version, descriptor.digest()):
        raise Untrusted("what was signed is another channel, generation, version or set of files")
    return order, back_to


def _verify(descriptor: Descriptor, trust: Trust) -> None:
    """Check the signature of a descriptor's statement, as Git checks that of a commit. Raises `Untrusted`."""
    if not descriptor.signature:
        raise Untrusted("it is not signed")
    with tempfile.NamedTemporaryFile(prefix="gitops-ml-") as signature:
        signature.write(descriptor.signature.encode())
        signature.flush()
        verify = ["ssh-keygen", "-Y", "verify", "-n", SIGNATURES, "-I", trust.channel]
        verify += ["-f", os.fspath(trust.allowed_signers), "-s", signature.name]
        try:
            done = subprocess.run(verify, input=descriptor.statement.encode(), capture_output=True, timeout=30)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Untrusted(f"its signature cannot be checked: {error}") from error
    if done.returncode:
        reason = " ".join((done.stderr + done.stdout).decode(errors="replace").split())
        raise Untrusted(f"no key in {os.fspath(trust.allowed_signers)} signed it for {trust.channel}: {reason}")


def _replace(path: Path, content: bytes) -> None:
    staged = path.with_name(f"{path.name}.part")
    staged.write_bytes(content)
    staged.replace(path)


def _read(answer: http.client.HTTPResponse, most: int, *, whole: bool = False) -> bytes:
    try:
        return answer.read(most) if whole else answer.read1(most)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unreachable(f"the answer broke off: {error}") from error


def _holds(path: Path, file: File) -> bool:
    """Whether a path holds a file as the descriptor says."""
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest() == file.sha256
