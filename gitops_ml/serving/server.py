"""`python -m gitops_ml.serving.server`: loads the model, then serves it.

The port is bound after the model is loaded and has answered its own example, so every connection reaches a model that
works. If that fails, the process exits with 1 and its last log line says why.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, cast

import msgspec
import uvicorn

from gitops_ml.errors import GitopsError, InputError
from gitops_ml.serving.connections import BoundedProtocol, bounded
from gitops_ml.serving.container_limits import bound_memory, free_memory, limit_threads

if TYPE_CHECKING:
    from gitops_ml.serving.app import ModelApp
    from gitops_ml.serving.limits import Limits

log = logging.getLogger("gitops_ml.serving")

KEEP_ALIVE_SECONDS = 620
"""Longer than gateways keep idle connections (Traefik: 90 s), so that the server never closes a connection in use."""

SWEEP_SECONDS = 5.0

LINGER_SECONDS = 0.2
"""How long after SIGTERM requests are still taken, which are on their way over kept-alive connections."""


def main() -> int:
    """Serve until SIGTERM; returns the exit code."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    started = time.monotonic()
    gc.disable()  # saves a fifth of the time that importing the numeric libraries takes
    try:
        limit_threads(os.environ)
        app, port = load_app(os.environ)
        gc.freeze()  # collections while serving skip what was imported
        gc.enable()
        bound_memory(free_memory(), os.environ)
        log.info("loaded %s in %.2f s", os.environ["GITOPS_ML_DEPLOYMENT"], time.monotonic() - started)
        return serve(app, os.environ.get("GITOPS_ML_HOST", "0.0.0.0"), port)
    except GitopsError as error:
        log.critical("refused to serve: %s", str(error).replace("\n", ";"))
        return 1


def load_app(env: Mapping[str, str]) -> tuple[ModelApp, int]:
    """Load the model, and make the application around it; also returns the port.

    Raises:
        InputError: an environment variable is missing or has a wrong value.
        ModelRejected: the model cannot be loaded, or fails on its own example.
    """
    # Imported here, after `limit_threads`: these import the numeric libraries.
    from gitops_ml.serving.app import Identity, ModelApp
    from gitops_ml.serving.channel import Published
    from gitops_ml.serving.prediction.loader import load_model
    from gitops_ml.serving.prediction.rehearsal import rehearse

    names = {field: f"GITOPS_ML_{field.upper()}" for field in Identity.__struct_fields__}
    missing = [name for name in names.values() if not env.get(name)]
    if missing:
        raise InputError("the model server's environment is incomplete", why=f"{', '.join(missing)} not set")
    port = _number(env, "GITOPS_ML_PORT", 8080)
    model_dir = Path(env.get("GITOPS_ML_MODEL_DIR", "/model"))
    manifest, model = load_model(model_dir, allow_pickle=env.get("GITOPS_ML_ALLOW_PICKLE") == "1")
    limits = _limits(env)
    identity = Identity(**{field: env[name] for field, name in names.items()})
    published = Published(model_dir, _signed(env)) if env.get("GITOPS_ML_CHANNEL") == "1" else None
    app = ModelApp(model, manifest, identity, limits, published)
    rehearse(app.inference, model_dir)
    return app, port


def serve(app: ModelApp, host: str, port: int) -> int:
    """Serve `app` until SIGTERM or SIGINT, and answer the requests in flight; returns the exit code."""

    class Server(uvicorn.Server):
        """Exits with 0 after a signal, and tells the clients of kept-alive connections before."""

        stop_at: float | None = None
        sweep_at = 0.0

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            app.begin()

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            if self.stop_at is not None and sig == signal.SIGINT:
                self.force_exit = True
            app.draining = True
            self.stop_at = self.stop_at or time.monotonic() + LINGER_SECONDS

        async def on_tick(self, counter: int) -> bool:
            if self.stop_at is not None and time.monotonic() >= self.stop_at:
                log.info("stopping with %d in flight", app.in_flight)
                self.should_exit = True
            if time.monotonic() >= self.sweep_at:
                self.sweep_at = time.monotonic() + SWEEP_SECONDS
                for connection in list(self.server_state.connections):
                    cast(BoundedProtocol, connection).sweep(time.monotonic())
            return await super().on_tick(counter)

        @contextlib.contextmanager
        def capture_signals(self) -> Generator[None, None, None]:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self.handle_exit)
            yield

    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=bounded(app.limits.connections),
        lifespan="off",
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        ws="none",
    )
    Server(config).run()
    log.info("stopped")
    return 0


def _limits(env: Mapping[str, str]) -> Limits:
    """The limits for the memory that is free now, with those that the environment sets."""
    from gitops_ml.serving.limits import limits_within

    own = limits_within(free_memory())
    body = _number(env, "GITOPS_ML_MAX_BODY_BYTES", own.body_bytes)
    return msgspec.structs.replace(
        own,
        body_bytes=body,
        bodies_bytes=max(own.bodies_bytes, body),
        inline_bytes=_number(env, "GITOPS_ML_INLINE_BYTES", own.inline_bytes),
        predict_seconds=float(_number(env, "GITOPS_ML_PREDICT_SECONDS", int(own.predict_seconds))),
        samples=_number(env, "GITOPS_ML_SAMPLES", own.samples),
        samples_per_second=_number(env, "GITOPS_ML_SAMPLES_PER_SECOND", own.samples_per_second),
        poll_seconds=max(1, _number(env, "GITOPS_ML_POLL_SECONDS", own.poll_seconds)),
    )


def _signed(env: Mapping[str, str]) -> dict[str, str]:
    """What was signed of a published generation, and the signature."""
    names = {"statement": "GITOPS_ML_STATEMENT", "signature": "GITOPS_ML_SIGNATURE"}
    return {key: env[name] for key, name in names.items() if name in env}


def _number(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name, str(default))
    if not text.isascii() or not text.isdigit():
        raise InputError(f"{name} is {text!r}", why="it must be a whole number")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
