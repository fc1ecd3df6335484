"""Reads the live rows that model servers keep. The servers give them out only inside the environment's network.

The gateway's container is asked, through the engine's API: nothing is written, and the rows leave the host only for
this process's memory.
"""

from __future__ import annotations

from collections.abc import Iterable

from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.gateway.layout import script
from gitops_ml.clients.gateway.probing.answers import decoded, whole_answer
from gitops_ml.core.text import clean_line
from gitops_ml.core.verification.samples import Samples, merge_samples, parse_samples
from gitops_ml.errors import EngineFailed, InputError, ModelRejected

PATH = "/gitops-ml/samples"
_ANSWER_SECONDS = 10
_LONGEST_ANSWER = 64 << 20
"""Bytes that are read of one server's sample."""


def read_samples(engine: Engine, gateway: str, servers: Iterable[tuple[str, int]]) -> Samples:
    """The samples of these (alias, port) as one.

    Raises `InputError` where no server has a sample that can be read; the error says why. Raises `ModelRejected` where
    the samples of the servers do not fit together.
    """
    samples: list[Samples] = []
    why = "no server that keeps live rows runs"
    for alias, port in servers:
        try:
            samples.append(_read(engine, gateway, f"{alias}:{port}"))
        except (EngineFailed, ModelRejected) as error:
            why = str(error).split("\n")[0]
    if not samples:
        raise InputError("there is no record of live rows", why=why)
    try:
        return merge_samples(samples)
    except (LookupError, ValueError) as error:
        raise ModelRejected("the replicas keep live rows of different inputs", why=str(error)) from error


def _read(engine: Engine, gateway: str, server: str) -> Samples:
    words = (f"http://{server}{PATH}", str(_ANSWER_SECONDS), str(_LONGEST_ANSWER))
    result = engine.exec_script(gateway, script("read-url"), words, limit=2 * _LONGEST_ANSWER)
    if not result.stdout:
        why = clean_line(result.stderr.decode(errors="replace"))
        raise EngineFailed(f"{server} does not give its live rows", why=why or "no answer")
    return decoded(whole_answer(result.stdout, server, b"\nok"), server, parse_samples)
