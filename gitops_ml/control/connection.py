"""The connection to one environment's engine: made when it is first needed, and made anew when it is lost."""

from __future__ import annotations

from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.engine.reconnect import Reconnection
from gitops_ml.clients.files.environments import EnvironmentFiles
from gitops_ml.errors import InputError


class Connection:
    """The one owner of an environment's engine.

    Args:
        begun: a connection under way to the engine of the last command; see `reconnect.begin`.
    """

    def __init__(self, begun: Reconnection | None = None) -> None:
        self._begun = begun
        self._url: str | None = None
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine | None:
        """The engine, if there is a connection."""
        return self._engine

    def to(self, files: EnvironmentFiles) -> Engine:
        """Connect to the engine that an environment declares, unless that is done.

        Raises `InputError` when the environment has to name its engine, or has several hosts and none is named, and
        `EngineUnavailable` when the engine does not answer.
        """
        url = files.engine
        if files.environment.hosts and not files.host:
            raise InputError(
                f"{files.name} runs on {len(files.environment.hosts)} hosts",
                why="this is done on one of them",
                fix=f"name one of them, such as {files.on_each_host()[0].full_name}",
            )
        if url is None and files.name != "dev":
            raise InputError(
                f"environments/{files.name}/environment.yaml names no engine",
                why="outside dev the engine is never the caller's own",
                fix="add `engine: unix:///var/run/docker.sock`, or ssh://user@host",
            )
        if self._engine is not None and self._url != url:
            self.close()
        if self._engine is None:
            begun, self._begun = self._begun, None  # a connection that failed is not waited for again
            self._engine, self._url = (begun and begun.engine(url)) or Engine.connect(url), url
        return self._engine

    def end_pass(self) -> None:
        """Close what a pass has opened in containers; the connection stays."""
        if self._engine:
            self._engine.close_shells()

    def close(self) -> None:
        """Close the connection; the next pass connects anew."""
        engine, self._engine = self._engine, None
        if engine:
            engine.close()
