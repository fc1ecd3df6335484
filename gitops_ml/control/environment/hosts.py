"""What a host of an environment has to know of the others: which are away, and how far a rollout has come.

How far it has come is in Git, in the records of the other hosts. So hosts take part in the same waves whoever
reconciles them: one agent for all, or an agent each.
"""

from __future__ import annotations

import threading

from gitops_ml.clients.files.environments import EnvironmentFiles
from gitops_ml.clients.files.records import read_host_records
from gitops_ml.clients.git.repository import Repository
from gitops_ml.control.environment.view import Options, Source
from gitops_ml.core.declaration.hosts import earlier_hosts, full_name
from gitops_ml.core.records.verified import last_verdict, serves_verified
from gitops_ml.errors import EngineMismatch


class Hosts:
    """The hosts that one process works on, by their full names, as they answered last. Any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._away: set[str] = set()
        self._networks: dict[str, str] = {}

    def away(self) -> frozenset[str]:
        """The hosts that did not answer when they were last asked."""
        with self._lock:
            return frozenset(self._away)

    def lost(self, name: str) -> None:
        """Note that a host does not answer."""
        with self._lock:
            self._away.add(name)

    def answered(self, files: EnvironmentFiles, network: str | None) -> None:
        """Note that a host answers. Raises `EngineMismatch` where it is a host that is declared before it.

        Args:
            network: the ID of the environment's network, which no two engines share. The engine's own ID tells less:
                hosts that were installed from one image can have the same.
        """
        declared = [full_name(files.name, host) for host in files.environment.hosts]
        with self._lock:
            self._away.discard(files.full_name)
            if not files.host or network is None:
                return
            self._networks[files.full_name] = network
            before = declared[: declared.index(files.full_name)]
            same = next((other for other in before if self._networks.get(other) == network), None)
        if same:
            raise EngineMismatch(
                f"{files.full_name} and {same} are the same host",
                why="both addresses lead to one engine",
                fix=f"take one of them out of `engines` in environments/{files.name}/environment.yaml",
            )


def waits_for(repo: Repository, source: Source, deployment: str, generation: str, options: Options) -> tuple[str, ...]:
    """The hosts of earlier waves on which a generation is not Verified yet, by their records. See `earlier_hosts`.

    A host that is away takes no part, so it holds up nobody, unless the generation was judged there, not as Verified.

    Args:
        generation: its fingerprint.
    """
    files = source.files
    if not files.host:
        return ()
    away = [h for h in files.environment.hosts if h != files.host and full_name(files.name, h) in options.away]
    of_away = read_host_records(repo, files, away, deployment)
    left_out = [host for host in away if last_verdict(of_away[host].get(deployment), generation) in (None, "Verified")]
    hosts = [host for host in files.environment.hosts if host not in left_out]
    earlier = earlier_hosts(hosts, files.host, files.deployments[deployment].rollout.waves)
    by_host = read_host_records(repo, files, earlier, deployment)
    return tuple(host for host in earlier if not serves_verified(by_host[host].get(deployment), generation))
