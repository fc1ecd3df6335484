"""The engine's errors in our words: which thing, why, and the command that fixes it.

The engine says what went wrong in English prose only. This is the one place that matches the prose.
"""

from __future__ import annotations

import re

from gitops_ml.clients.engine.address import Address
from gitops_ml.core.text import clean_line
from gitops_ml.errors import EngineFailed, EngineUnavailable, GitopsError, InputError, ModelRejected

_PORT = re.compile(
    r"(?:Bind for|listen tcp4?6?:?|exposing port TCP) (\S*?):(\d+)\b.*(?:already allocated|already in use)",
    re.S,
)
_TAKEN = ("port is already allocated", "address already in use")
_FOREIGN = re.compile(
    r"(?:listen tcp[46]?|bind host port for) (\[\S+?\]|[^\s:]+):.*cannot assign requested address", re.S
)
_NO_RANGE = ("non-overlapping ipv4 address pool", "address pools have been fully subnetted")
_CANNOT_RUN = (
    "executable file not found",
    "argument list too long",
    "permission denied",
    "not a directory",
    "invalid argument",
    "exec format error",
)
"""What runc says of a container that no second try starts."""
_OF_TLS = ("SSL:", "EOF occurred in violation of protocol")
"""What Python says where certificates do not fit. An engine that refuses a client's may end the connection alone."""
_FULL = ("no space left on device", "disk quota exceeded")


def unavailable(address: Address, why: str) -> EngineUnavailable:
    """The engine at `address` does not answer."""
    what = f"the Docker engine at {address.url} does not answer"
    if address.tls and any(text in why for text in _OF_TLS):
        return EngineUnavailable(
            what,
            why=f"one side does not trust the other's certificate: {_reason(why)}",
            fix="let ca.pem in DOCKER_CERT_PATH be of the engine's authority, and cert.pem of one that it trusts",
        )
    return EngineUnavailable(
        what,
        why=_reason(why),
        fix=f"start it, or correct {address.source}; `gitops-ml doctor` looks closer",
    )


def failed(doing: str, why: str) -> GitopsError:
    """The engine answered `doing` with the error `why`."""
    lower = why.lower()
    if any(text in lower for text in _TAKEN):
        match = _PORT.search(why)
        port = match[2] if match else "?"
        return EngineFailed(
            f"port {port} on the engine's host is taken ({doing})",
            why="something else listens there",
            fix=f"`docker ps --filter publish={port}` or `ss -ltnp 'sport = :{port}'` on that host "
            "names it; stop it, or change gateway.port in environment.yaml",
        )
    if "cannot assign requested address" in lower:
        match = _FOREIGN.search(why)
        return InputError(
            f"the engine's host has no address {match[1].strip('[]') if match else 'of this kind'} ({doing})",
            why=_reason(why),
            fix="change gateway.bind in environment.yaml; `ip address` on that host lists its addresses",
        )
    if any(text in lower for text in _FULL):
        return EngineFailed(
            f"the engine's disk is full ({doing})",
            why=_reason(why),
            fix="`docker system df` shows what fills it, `docker image prune` frees unused images",
        )
    if "bind source path does not exist" in lower:
        path = why.rpartition("exist: ")[2].strip() or "?"
        return EngineFailed(
            f"the file {path} is not on the engine's host ({doing})",
            why="a secret of the deployment names it",
            fix=f"put it there, readable for user 65532, or correct `secrets:` ({path})",
        )
    if any(text in lower for text in _NO_RANGE):
        return EngineFailed(
            f"the engine has no address range left for a network ({doing})",
            why=_reason(why),
            fix="`docker network prune` on that host frees those of unused networks; `default-address-pools` in its "
            "daemon.json allows more",
        )
    if "not a swarm manager" in lower:
        return InputError(
            f"the engine manages no Swarm ({doing})",
            why=_reason(why),
            fix="name a manager in `engine:`, which `docker node ls` lists on any manager",
        )
    if "no suitable node" in lower or "no node runs" in lower:
        return EngineFailed(
            f"no node of the Swarm runs it ({doing})",
            why=_reason(why),
            fix="docker node ls, on a manager: one must be ready, active, and as large as `resources` of it",
        )
    if "oci runtime create failed" in lower and any(text in lower for text in _CANNOT_RUN):
        return ModelRejected(
            f"the container cannot be started ({doing})",
            why=_reason(why),
            fix="correct what it names: `env`, `secrets` or `resources` of the deployment, or the image",
        )
    if "could not select device driver" in lower:
        return InputError(
            f"the engine's host gives containers no GPU ({doing})",
            why=_reason(why),
            fix="set up NVIDIA's container toolkit for Docker on that host, or remove resources.gpus of the deployment",
        )
    if "range of cpus is from" in lower:
        return InputError(
            f"the engine's host has too few CPUs ({doing})",
            why=_reason(why),
            fix="lower resources.cpus of the deployment",
        )
    return EngineFailed(
        f"the engine answered with an error ({doing})",
        why=_reason(why),
        fix="fix what it says; `gitops-ml doctor` looks closer, and `journalctl -u docker` on that host says more",
    )


def _reason(why: str) -> str:
    """The reason in one line, without the nesting of Python's connection errors."""
    inner = re.findall(r"""(?:Error|Exception)\((?:\d+, )?(['"])(.+?)\1\)""", why)
    core = re.sub(r"^<?[\w.]*Connection\b.*?[)>]: ", "", inner[-1][1]) if inner else why
    return clean_line(core, 500)


def build_failed(tag: str, why: str, last: str) -> GitopsError:
    """The image `tag` could not be built; `last` are the build's last lines."""
    if any(text in f"{why}\n{last}".lower() for text in _FULL):
        return failed(f"building {tag}", f"{why} (no space left on device)")
    return EngineFailed(
        f"image {tag} could not be built",
        why=f"{_reason(why)}; its last lines:\n{last}",
        fix="fix what they name: most often the model's requirements.txt, the application's Dockerfile, or that host's "
        "access to PyPI",
    )


def push_failed(image: str, why: str) -> EngineFailed:
    """The image, as its registry would name it, could not be put there."""
    registry = image.partition("/")[0]
    said = why.lower()
    refused = any(text in said for text in ("denied", "unauthorized", "no basic auth", "authentication required"))
    stores_nothing = "http status: 5" in said or "no space left" in said
    return EngineFailed(
        f"the image {image} could not be pushed",
        why=_reason(why),
        fix=f"docker login {registry}, where gitops-ml runs, as somebody who may push there"
        if refused
        else f"look into the log of {registry}, and whether its disk is full: it answers, and cannot store the image"
        if stores_nothing
        else f"start the registry, or correct `registry:` in environment.yaml; curl {registry}/v2/ shows whether it "
        "answers",
    )
