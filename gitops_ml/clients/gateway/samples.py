"""Reading the live rows that model servers keep, from inside the environment's network, where alone they are given out.

It is asked through the gateway's container, by the engine's API: nothing is written anywhere, and the rows leave the
host only as far as this process's memory.
"""

from __future__ import annotations

from collections.abc import Iterable

from gitops_ml.clients.engine.client import Engine
from gitops_ml.core.verification.samples import Samples, merge_samples, parse_samples
from gitops_ml.errors import EngineFailed, InputError

PATH = "/gitops-ml/samples"
_READ = 'timeout 10 wget -q -O - "$1"'


def read_samples(engine: Engine, gateway: str, servers: Iterable[tuple[str, int]]) -> Samples:
    """The samples of these (alias, port) together.

    Raises `InputError` where none of them keeps any that can be read, which says why.
    """
    found: list[Samples] = []
    why = "nothing runs that keeps them"
    for alias, port in servers:
        try:
            answer = engine.run(gateway, _READ, (f"http://{alias}:{port}{PATH}",))
            if answer.code != 0:
                why = answer.stderr.decode(errors="replace").strip() or f"wget ended with {answer.code}"
                continue
            found.append(parse_samples(answer.stdout))
        except (EngineFailed, InputError) as error:
            why = str(error).split("\n")[0]
    if not found:
        raise InputError("there is no record of live rows", why=why)
    return merge_samples(found)
