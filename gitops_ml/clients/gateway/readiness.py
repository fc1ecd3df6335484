"""Readiness and one inference, asked of servers from inside the gateway, which is in their network already.

A probe's container would want CPU just while a candidate starts: on two CPUs that made a rollout a quarter longer. So
what goes well is found out here. Whatever does not is left to the probe, which can say why.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.gateway.container_watch import Watched, results_of_ended
from gitops_ml.clients.gateway.layout import LONGEST_WORD, script
from gitops_ml.core.verification.probe_result import answered
from gitops_ml.errors import EngineFailed
from gitops_ml.serving.probe import NotYet, TargetError, encoded, metadata_of, model_path, outputs_of, require_values

LEFT_FOR_PROBE = 3.0
"""Seconds before the end of the start time-out at which the probe takes over, to say what is wrong."""
_WINDOW = 1.0
"""Seconds that one script waits before it is started anew, so that another reason to end is seen."""
_ANSWER_SECONDS = 5
_LONGEST_ANSWER = 1024**2
_NOT_YET = (3, 4)
_MARK = " ok"


def ask_ready(
    engine: Engine,
    gateway: str,
    targets: Sequence[Mapping[str, Any]],
    *,
    example: dict[str, Any] | None,
    patience: float,
    watch: Sequence[str],
    go_on: Callable[[], None],
) -> dict[str, Any] | None:
    """The results of a job that asks for nothing but readiness and the example, by the target's name, as a probe has
    them; None where the probe has to be asked.

    Args:
        targets: as in a probe's job; see docs/serving.md.
        example: the inference request that each answers, if it has a model's path.
        patience: seconds to wait for all of them to be ready.
        watch: containers whose end makes waiting pointless.
        go_on: called again and again; what it raises ends the waiting.

    Raises `EngineUnavailable`.
    """
    body, rows = encoded(example) if example else (b"", 0)
    if len(body) > LONGEST_WORD:
        return None
    watched = Watched(engine, watch)
    started = time.monotonic()
    while (passed := time.monotonic() - started) < patience:
        go_on()
        window = str(round(100 * min(_WINDOW, patience - passed)))
        urls = [url for target in targets for url in _urls(target)]
        words = (str(_ANSWER_SECONDS), window, str(_LONGEST_ANSWER), body.decode(), *urls)
        try:
            result = engine.exec_in_shell(gateway, script("ask-ready"), words)
        except EngineFailed:
            return None
        if result.code == 0:
            found = _results(targets, result.stdout.splitlines(), rows, passed)
            if found is not None:
                return found
        ended = watched.ended()
        if ended:
            return results_of_ended(engine, targets, ended)
        if result.code not in _NOT_YET:
            return None
    return None


def _urls(target: Mapping[str, Any]) -> tuple[str, str]:
    """Where a target says that it is ready, and where it answers; nothing is asked of an image that is not ours."""
    if target.get("health"):
        return f"{target['url']}{target['health']}", ""
    model = f"{target['url']}{model_path(target)}"
    return model, f"{model}/infer"


def _results(
    targets: Sequence[Mapping[str, Any]], lines: list[bytes], rows: int, passed: float
) -> dict[str, Any] | None:
    """What the script said: the hundredths of a second until all were ready, and for each target two lines and the
    hundredths that its answer took.
    """
    try:
        ready = passed + int(lines[0]) / 100
        results = {}
        for number, target in enumerate(targets):
            said, took, answer = lines[1 + 3 * number : 4 + 3 * number]
            metadata = {} if target.get("health") else metadata_of(_whole(said), target["expect"])
            smoke = None
            if rows and not target.get("health"):
                outputs = outputs_of(_whole(answer), rows)
                require_values(outputs)
                smoke = {"ok": True, "seconds": int(took) / 100, "error": None, "outputs": outputs}
            results[target["name"]] = answered(metadata, round(ready, 4), smoke)
        return results
    except (NotYet, TargetError, ValueError, IndexError):
        return None


def _whole(line: bytes) -> bytes:
    """An answer without the mark that says that all of it came."""
    text = line.rstrip()
    if not text.endswith(_MARK.encode()):
        raise ValueError("the answer was cut")
    return text.removesuffix(_MARK.encode())
