"""Asks servers whether they are ready, and for one inference, from inside the gateway: it is in their network already.

The container of a probe would need CPU just while a candidate starts: on two CPUs a rollout took a quarter longer with
it. So the usual case, in which all goes well, is found out here. Anything else is left to the probe, which can say why.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from gitops_ml.clients import background
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.gateway.layout import LONGEST_WORD, script
from gitops_ml.clients.gateway.probing.answers import decoded, whole_answer
from gitops_ml.clients.gateway.probing.container_watch import ContainerWatch, results_of_ended
from gitops_ml.core.verification.probe_result import answered
from gitops_ml.errors import EngineFailed, ModelRejected
from gitops_ml.serving.probe import encoded
from gitops_ml.serving.probe_answers import NotYet, TargetError, metadata_of, outputs_of, require_values
from gitops_ml.serving.probe_target import model_path

LEFT_FOR_PROBE = 3.0
"""Seconds before the end of the start time-out at which the probe takes over, to say what is wrong."""
_WINDOW = 1.0
"""Seconds that one script waits. Then it is started again, so that other reasons to stop waiting are seen."""
_ANSWER_SECONDS = 5
_LONGEST_ANSWER = 1024**2
_NOT_YET = (3, 4)
"""Exit codes of the script `ask-ready` for servers that may still become ready."""


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
    """Ask for readiness and for the answer to the example.

    Returns the results by target name, in the form of a probe's; None where the probe has to be asked.

    Args:
        targets: as in a probe's job; see docs/serving.md.
        example: the inference request that each target answers, if the target has a model's path.
        patience: seconds to wait for all targets to be ready.
        watch: containers whose end makes waiting pointless.
        go_on: called again and again; an exception of it ends the waiting.

    Raises `EngineUnavailable`.
    """
    body, rows = encoded(example) if example else (b"", 0)
    if len(body) > LONGEST_WORD:
        return None
    urls = [url for target in targets for url in _urls(target)]
    container_watch = ContainerWatch(engine, watch)
    started = time.monotonic()
    while (passed := time.monotonic() - started) < patience:
        go_on()
        window = str(round(100 * min(_WINDOW, patience - passed)))
        words = (str(_ANSWER_SECONDS), window, str(_LONGEST_ANSWER), body.decode(), *urls)
        try:
            # Beside the waiting: a server that accepts a connection and does not answer takes up to `_ANSWER_SECONDS`.
            asking = background.begin(partial(engine.exec_in_shell, gateway, script("ask-ready"), words))
            result = background.result_within(asking, math.inf, go_on)
        except EngineFailed:
            return None
        if result.code == 0:
            results = _results(targets, result.stdout.splitlines(), rows, passed)
            if results is not None:
                return results
        ended = container_watch.ended()
        if ended:
            return results_of_ended(engine, targets, ended)
        if result.code not in _NOT_YET:
            return None
    return None


def _urls(target: Mapping[str, Any]) -> tuple[str, str]:
    """A target's ready URL and its inference URL; the latter is empty for an image that is not ours."""
    if target.get("health"):
        return f"{target['url']}{target['health']}", ""
    model = f"{target['url']}{model_path(target)}"
    return model, f"{model}/infer"


def _results(
    targets: Sequence[Mapping[str, Any]], lines: list[bytes], rows: int, passed: float
) -> dict[str, Any] | None:
    """The results in the output of the script `ask-ready`; None where a target is not ready or answers wrongly."""
    try:
        ready = passed + int(lines[0]) / 100
        results = {}
        for number, target in enumerate(targets):
            about, hundredths, answer = lines[1 + 3 * number : 4 + 3 * number]
            metadata = {} if target.get("health") else _metadata(about, target)
            smoke = None
            if rows and not target.get("health"):
                outputs = _outputs(answer, target, rows)
                smoke = {"ok": True, "seconds": int(hundredths) / 100, "error": None, "outputs": outputs}
            results[target["name"]] = answered(metadata, round(ready, 4), smoke)
        return results
    except (NotYet, TargetError, ModelRejected, ValueError, IndexError):
        return None


def _metadata(line: bytes, target: Mapping[str, Any]) -> dict[str, Any]:
    content = whole_answer(line, target["url"], b" ok")
    return decoded(content, target["url"], lambda body: metadata_of(body, target["expect"]))


def _outputs(line: bytes, target: Mapping[str, Any], rows: int) -> dict[str, list[Any]]:
    content = whole_answer(line, target["url"], b" ok")
    outputs = decoded(content, target["url"], lambda body: outputs_of(body, rows))
    require_values(outputs)
    return outputs
