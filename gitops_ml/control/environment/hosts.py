"""What a host of an environment has to know of the others: which are away, and how far a rollout has come.

How far it has come is in Git, in the records of the other hosts. So hosts take part in the same waves whoever
reconciles them: one agent for all, or an agent each.
"""

from __future__ import annotations

import threading

from gitops_ml.clients.files.records import read_host_records
from gitops_ml.clients.git.repository import Repository
from gitops_ml.control.environment.view import Options, Source
from gitops_ml.core.declaration.hosts import earlier_hosts, full_name, split_full_name
from gitops_ml.core.records.verified import serves_verified
from gitops_ml.errors import EngineMismatch


class Hosts:
    """The hosts that one process works on, by their full names, as they answered last. Any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._away: set[str] = set()
        self._engines: dict[tuple[str, str], str] = {}

    def away(self) -> frozenset[str]:
        """The hosts that did not answer when they were last asked."""
        with self._lock:
            return frozenset(self._away)

    def lost(self, name: str) -> None:
        """Note that a host does not answer."""
        with self._lock:
            self._away.add(name)

    def answered(self, name: str, engine: str) -> None:
        """Note that a host answers. Raises `EngineMismatch` where another host of the environment has its engine.

        Args:
            engine: the engine's own ID. Two addresses can lead to one engine.
        """
        environment, _ = split_full_name(name)
        with self._lock:
            self._away.discard(name)
            other = self._engines.setdefault((environment, engine), name)
        if other != name:
            raise EngineMismatch(
                f"{name} and {other} are the same host",
                why=f"both addresses lead to the engine {engine}",
                fix=f"take one of them out of `engines` in environments/{environment}/environment.yaml",
            )


def waits_for(repo: Repository, source: Source, deployment: str, generation: str, options: Options) -> tuple[str, ...]:
    """The hosts of earlier waves on which a generation is not Verified yet, by their records. See `earlier_hosts`.

    A host that is away takes no part, so it holds up nobody.

    Args:
        generation: its fingerprint.
    """
    files = source.files
    if not files.host:
        return ()
    hosts = [h for h in files.environment.hosts if h == files.host or full_name(files.name, h) not in options.away]
    earlier = earlier_hosts(hosts, files.host, files.deployments[deployment].rollout.waves)
    by_host = read_host_records(repo, files, earlier, deployment)
    return tuple(host for host in earlier if not serves_verified(by_host[host].get(deployment), generation))
