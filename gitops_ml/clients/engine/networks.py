"""The engine's calls about networks and volumes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from gitops_ml.core.generation import PROJECT
from gitops_ml.errors import InputError


class NetworkCalls:
    """Part of `Engine`, which has the client and translates what it raises."""

    _api: Any

    def _translate_errors(self, doing: str) -> AbstractContextManager[None]:
        raise NotImplementedError

    def _or_none_if_gone(self, doing: str, call: Callable[[], Any]) -> Any:
        raise NotImplementedError

    def list_networks(self, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        with self._translate_errors("listing networks"):
            return list(self._api.networks(filters={"label": label_filter(labels)}))

    def list_volumes(self, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        with self._translate_errors("listing volumes"):
            return list(self._api.volumes(filters={"label": label_filter(labels)})["Volumes"] or ())

    def ensure_network(self, name: str, labels: Mapping[str, str]) -> bool:
        """Have a bridge network of this name; whether it had to be made. The engine allows several of one name; we
        do not. Raises `InputError` when one is there that is not of this project.
        """
        with self._translate_errors(f"creating network {name}"):
            found = [network for network in self._api.networks(names=[name]) if network["Name"] == name]
            if not found:
                self._api.create_network(name, driver="bridge", check_duplicate=True, labels=dict(labels))
        for network in found:
            _require_own("network", name, network.get("Labels"), labels)
        return not found

    def ensure_volume(self, name: str, labels: Mapping[str, str]) -> bool:
        """Have a volume of this name; whether it had to be made.

        Raises `InputError` when one is there that is not of this project.
        """
        with self._translate_errors(f"creating volume {name}"):
            listed = self._api.volumes(filters={"name": name})["Volumes"] or ()
            found = [volume for volume in listed if volume["Name"] == name]
            if not found:
                self._api.create_volume(name, driver="local", labels=dict(labels))
        for volume in found:
            _require_own("volume", name, volume.get("Labels"), labels)
        return not found

    def connect_network(self, container: str, network: str, aliases: Sequence[str] = ()) -> None:
        with self._translate_errors(f"connecting {container[:12]} to {network}"):
            self._api.connect_container_to_network(container, network, aliases=list(aliases))

    def disconnect_network(self, container: str, network: str) -> None:
        self._or_none_if_gone(
            f"disconnecting {container[:12]} from {network}",
            lambda: self._api.disconnect_container_from_network(container, network, force=True),
        )

    def remove_network(self, name: str) -> None:
        self._or_none_if_gone(f"removing network {name}", lambda: self._api.remove_network(name))

    def remove_volume(self, name: str) -> None:
        self._or_none_if_gone(f"removing volume {name}", lambda: self._api.remove_volume(name))


def _require_own(kind: str, name: str, found: Mapping[str, str] | None, labels: Mapping[str, str]) -> None:
    project = labels.get(PROJECT)
    if (found or {}).get(PROJECT) != project:
        raise InputError(
            f"the {kind} {name} is there and is none of ours",
            why=f"it does not carry the label {PROJECT}={project}",
            fix=f"`docker {kind} inspect {name}` tells whose it is; rename the project, or `docker {kind} rm {name}`",
        )


def label_filter(labels: Mapping[str, str]) -> list[str]:
    """The engine's filter for objects that carry all of these labels; an empty value is any value."""
    return [f"{name}={value}" if value else name for name, value in labels.items()]
