"""The engine's calls about networks and volumes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from gitops_ml.core.generation import ENVIRONMENT, PROJECT
from gitops_ml.errors import InputError


class NetworkCalls:
    """Part of `Engine`, which has the client and translates the client's errors."""

    _api: Any
    network_settings: ClassVar[Mapping[str, Any]] = {"driver": "bridge"}
    """What the networks of environments are made with."""

    def _translate_errors(self, doing: str) -> AbstractContextManager[None]:
        raise NotImplementedError

    def _or_none_if_gone(self, doing: str, call: Callable[[], Any]) -> Any:
        raise NotImplementedError

    def list_networks(self, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        """The networks with these labels.

        Raises `InputError` where the network of one environment is of another kind than this engine makes.
        """
        with self._translate_errors("listing networks"):
            networks = list(self._api.networks(filters={"label": label_filter(labels)}))
        if ENVIRONMENT in labels:
            for network in networks:
                self._require_own_kind(network)
        return networks

    def _require_own_kind(self, network: Mapping[str, Any]) -> None:
        kind = self.network_settings["driver"]
        if network["Driver"] != kind:
            raise InputError(
                f"the network {network['Name']} is of the kind {network['Driver']}",
                why=f"one of the kind {kind} is needed; `swarm:` was changed",
                fix="undo that, and declare another environment with it: the one before keeps what it runs",
            )

    def list_volumes(self, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        with self._translate_errors("listing volumes"):
            return list(self._api.volumes(filters={"label": label_filter(labels)})["Volumes"] or ())

    def ensure_network(self, name: str, labels: Mapping[str, str]) -> bool:
        """Make a network of this name unless it exists; whether it was made.

        The engine allows several networks of one name; we do not. Raises `InputError` when a network of this name
        belongs to something else than this project.
        """
        with self._translate_errors(f"creating network {name}"):
            existing = [network for network in self._api.networks(names=[name]) if network["Name"] == name]
            if not existing:
                self._api.create_network(name, check_duplicate=True, labels=dict(labels), **self.network_settings)
        for network in existing:
            _require_own("network", name, network.get("Labels"), labels)
        return not existing

    def ensure_volume(self, name: str, labels: Mapping[str, str]) -> bool:
        """Make a volume of this name unless it exists; whether it was made.

        Raises `InputError` when a volume of this name belongs to something else than this project.
        """
        with self._translate_errors(f"creating volume {name}"):
            listed = self._api.volumes(filters={"name": name})["Volumes"] or ()
            existing = [volume for volume in listed if volume["Name"] == name]
            if not existing:
                self._api.create_volume(name, driver="local", labels=dict(labels))
        for volume in existing:
            _require_own("volume", name, volume.get("Labels"), labels)
        return not existing

    def remove_network(self, name: str) -> None:
        self._or_none_if_gone(f"removing network {name}", lambda: self._api.remove_network(name))

    def remove_volume(self, name: str) -> None:
        self._or_none_if_gone(f"removing volume {name}", lambda: self._api.remove_volume(name))


def _require_own(kind: str, name: str, own_labels: Mapping[str, str] | None, labels: Mapping[str, str]) -> None:
    """Raises `InputError` where an object of the engine lacks our project's label."""
    project = labels.get(PROJECT)
    if (own_labels or {}).get(PROJECT) != project:
        raise InputError(
            f"the {kind} {name} exists and is not ours",
            why=f"it lacks the label {PROJECT}={project}",
            fix=f"`docker {kind} inspect {name}` shows whose it is; rename the project, or `docker {kind} rm {name}`",
        )


def label_filter(labels: Mapping[str, str]) -> list[str]:
    """The engine's filter for objects that carry all of these labels; an empty value matches any value."""
    return [f"{name}={value}" if value else name for name, value in labels.items()]
