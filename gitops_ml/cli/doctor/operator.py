"""The check of `doctor` of what the host's operator decides: each setting, its value, and where the value came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gitops_ml.cli.doctor.findings import Finding, missing, ok
from gitops_ml.clients.signing import sign
from gitops_ml.core.operator_settings import (
    ALLOW_COMMANDS,
    CHECK_HOSTS,
    DEFAULT_SECRETS,
    DVC_REMOTES,
    SECRETS_UNDER,
    SIGNING_KEY,
    read_settings,
)
from gitops_ml.core.signed_statement import NAMESPACE
from gitops_ml.errors import InputError

_DEFAULTS = {
    SECRETS_UNDER: DEFAULT_SECRETS,
    ALLOW_COMMANDS: "0, verify.command does not run",
    CHECK_HOSTS: "all hosts, without link-local, multicast and metadata addresses",
    DVC_REMOTES: "all remotes, without link-local, multicast and metadata addresses",
    SIGNING_KEY: "none, channels publish without a signature",
}
"""The settings, and what holds where a variable is not set."""


def settings(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Check the variables of this process. An agent or a job may have others: they hold where `sync` runs."""
    for name, default in _DEFAULTS.items():
        value = environ.get(name)
        try:
            setting = read_settings({} if value is None else {name: value})
            if setting.signing_key:
                sign("doctor", setting.signing_key, NAMESPACE)
        except InputError as error:
            yield missing("operator", error)
        else:
            # An empty list permits nothing; an empty path or switch is the default.
            given = value if name in (CHECK_HOSTS, DVC_REMOTES) or value else None
            shown = f"{default} (default)" if given is None else f"{given or 'none'} (from the environment)"
            yield ok("operator", f"{name}: {shown}")
