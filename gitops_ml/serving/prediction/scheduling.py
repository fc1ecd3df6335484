"""Decides where and in which order requests are predicted, and for how long.

Small requests are predicted in the event loop, since a thread costs more than the prediction. Large requests, and those
to a slow model, are predicted in one thread, so that health keeps answering.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gitops_ml.serving.limits import Limits
from gitops_ml.serving.messages import HEADER_LENGTH, ProtocolError
from gitops_ml.serving.prediction.inference import Answer, Inference
from gitops_ml.serving.prediction.prediction_watch import PredictionWatch

SLOW_SECONDS = 0.05
"""After a request that blocked the event loop for longer, requests go to the thread until one is quick again."""


class Scheduler:
    """Gives each request its turn.

    Args:
        threaded: all predictions go to the thread.
        stuck: called in the event loop when a prediction does not end, before the process does.
    """

    def __init__(self, inference: Inference, limits: Limits, *, threaded: bool, stuck: Callable[[], None]) -> None:
        self._inference = inference
        self._limits = limits
        self._threaded = threaded
        self._stuck = stuck
        self._watch = PredictionWatch(limits.predict_seconds, self._overrun)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="predict")
        self._turn_of_large = asyncio.Lock()
        self._waiting: set[asyncio.Task[Any]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._slow = False

    def begin(self) -> None:
        """Begin to watch how long predictions take; call it in the event loop."""
        self._loop = asyncio.get_running_loop()
        self._watch.start()

    async def answer(self, body: bytearray, request: Request, *, sampled: bool) -> tuple[Response, int]:
        """Answer the request that has this body; also the number of its rows.

        Raises:
            ProtocolError: the request is at fault, or 503 if its prediction does not end in time.
            Exception: whatever the model raises.
        """
        header = request.headers.get(HEADER_LENGTH)
        small = len(body) <= self._limits.inline_bytes

        def answer() -> Answer:
            with self._watch.prediction():
                return self._inference.answer(body, header, sampled=sampled)

        if self._slow or self._threaded or not small:
            result = await self._in_thread(answer, request, small=small)
        else:
            result = answer()
        if small:
            self._slow = result.seconds > SLOW_SECONDS
        response = result.response
        return (await self._in_time(response) if inspect.isawaitable(response) else response), result.rows

    async def _in_thread(self, answer: Callable[[], Answer], request: Request, *, small: bool) -> Answer:
        """Answer in the thread, where at most one large request is ahead of a small one."""
        task = asyncio.current_task()
        assert task is not None
        self._waiting.add(task)
        loop = asyncio.get_running_loop()
        try:
            if small:
                return await loop.run_in_executor(self._thread, answer)
            async with self._turn_of_large:
                if await request.is_disconnected():
                    raise ProtocolError("the client went away", 499)
                return await loop.run_in_executor(self._thread, answer)
        except asyncio.CancelledError as error:
            raise self._late() from error
        finally:
            self._waiting.discard(task)

    async def _in_time(self, response: Awaitable[Response]) -> Response:
        """Await an asynchronous model, whose prediction can be cancelled."""
        try:
            async with asyncio.timeout(self._limits.predict_seconds) as limit:
                return await response
        except TimeoutError as error:
            if limit.expired():
                raise self._late() from error
            raise

    def _late(self) -> ProtocolError:
        return ProtocolError(f"a prediction took longer than {self._limits.predict_seconds:g} s", 503)

    def _overrun(self) -> None:
        """Answer the requests that wait for a prediction that does not end; the process is about to."""

        def give_up() -> None:
            self._stuck()
            for task in self._waiting:
                task.cancel()

        if self._loop is not None:
            self._loop.call_soon_threadsafe(give_up)
