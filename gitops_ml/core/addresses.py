"""Which addresses a team's own checks may ask.

A check is declared in the repository and asked by the process that reconciles, from its place in the network. Addresses
that only a machine itself should ask, such as a cloud's metadata service with its credentials, are refused by default.
"""

from __future__ import annotations

import ipaddress
import re

import msgspec

from gitops_ml.errors import InputError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_METADATA = {
    # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
    ipaddress.ip_network("fd00:ec2::/32"): "a metadata address of Amazon's cloud",
    # https://cloud.google.com/compute/docs/metadata/querying-metadata
    ipaddress.ip_network("fd20:ce::254/128"): "the metadata address of Google's cloud",
    # https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata
    ipaddress.ip_network("100.100.100.200/32"): "the metadata address of Alibaba's cloud",
    # https://docs.oracle.com/en-us/iaas/Content/Compute/Tasks/gettingmetadata.htm
    ipaddress.ip_network("192.0.0.192/32"): "a metadata address of Oracle's cloud",
    # https://learn.microsoft.com/en-us/azure/virtual-network/what-is-ip-address-168-63-129-16
    ipaddress.ip_network("168.63.129.16/32"): "the platform address of Microsoft's cloud",
}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NAME = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")


class HostRule(msgspec.Struct, frozen=True):
    """One entry of the operator's allow-list: a name, `*.` before a domain, or a network; None stands for any port."""

    host: str
    port: int | None = None

    @property
    def network(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
        try:
            return ipaddress.ip_network(self.host, strict=False)
        except ValueError:
            return None

    def names(self, host: str, port: int) -> bool:
        """Whether this entry is a name, and permits `host` at `port`."""
        if self.port not in (None, port) or self.network is not None:
            return False
        suffix = self.host.removeprefix("*")
        return host.lower().endswith(suffix) if suffix != self.host else host.lower() == self.host

    def covers(self, address: Address, port: int) -> bool:
        """Whether this entry is a network, and permits `address` at `port`."""
        network = self.network
        return network is not None and self.port in (None, port) and address in network


def parse_rules(variable: str, text: str) -> tuple[HostRule, ...]:
    """Parse an allow-list: entries such as `prometheus:9090`, `*.example.com` or `10.0.0.0/8`, separated by commas.

    Raises `InputError` that names the variable.
    """
    return tuple(_parse_rule(variable, entry) for entry in re.split(r"[,\s]+", text.lower()) if entry)


def _parse_rule(variable: str, entry: str) -> HostRule:
    host, port = entry, ""
    if entry.startswith("["):
        host, _, after = entry[1:].partition("]")
        port = after.removeprefix(":")
    elif entry.count(":") == 1:
        host, port = entry.split(":")
    rule = HostRule(host, int(port) if port.isdecimal() else None)
    if (port and not port.isdecimal()) or not (rule.network or _NAME.fullmatch(host)):
        raise InputError(
            f"{variable} holds {entry!r}",
            why="an entry is a host, *.domain, address or network, with or without :port",
            fix=f"export {variable}=prometheus.example.com:9090,10.0.0.0/8",
        )
    return rule


def why_refused(host: str, port: int, address: Address, rules: tuple[HostRule, ...] | None) -> str:
    """Why a check may not ask this address, to which `host` resolved; empty if it may.

    Args:
        rules: the operator's allow-list; None permits every host. An address that is refused by default is permitted
            only by an entry with that very address or its network, since names resolve to what their owner likes.
    """
    plain = _embedded(address)
    if rules is not None and any(rule.covers(plain, port) for rule in rules):
        return ""
    kind = _refused_kind(plain)
    if kind:
        return f"{address} is {kind}"
    if rules is None or any(rule.names(host, port) for rule in rules):
        return ""
    return f"{host}:{port} is not among the hosts that the operator permits"


def _embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for; else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _refused_kind(address: Address) -> str:
    if address.is_link_local:
        return "a link-local address, where clouds answer with credentials"
    if address.is_multicast:
        return "a multicast address"
    return next((kind for network, kind in _METADATA.items() if address in network), "")
