"""Values that a file may have: addresses, branches, shares, finite numbers."""

from __future__ import annotations

import pytest

from gitops_ml.clients.files.yaml_read import parse
from gitops_ml.core.declaration.schema import Environment
from tests.unit.clients.files.yaml_messages import BASE, EDIT, message


@pytest.mark.parametrize("bind", ["localhost", "''", "999.1.1.1", "127.0.0.1:80", "'*'"])
def test_a_gateway_listens_on_an_ip_address(bind: str) -> None:
    shown = bind.strip("'")
    assert message(f"schema: 1\ngateway:\n  port: 8081\n  bind: {bind}\n", Environment) == (
        f"m.yaml:2: gateway: `bind` is {shown!r}, and must be an IP address: "
        "127.0.0.1 for this host alone, 0.0.0.0 for all" + EDIT
    )


@pytest.mark.parametrize("engine", ["''", "http://x", "unix://var/run/docker.sock", "ssh://", "host", "'tcp://a b'"])
def test_an_engine_is_named_by_its_address(engine: str) -> None:
    assert message(f"schema: 1\nengine: {engine}\ngateway: {{port: 8081}}\n", Environment) == (
        "m.yaml:2: engine: it must be an engine's address: unix:///path/to/socket, ssh://user@host or tcp://host:port"
        + EDIT
    )


def test_records_are_written_to_a_branch() -> None:
    text = "schema: 1\ngateway: {port: 8081}\nrecords: {branch: '../x y'}\n"
    assert (
        message(text, Environment)
        == "m.yaml:3: records.branch: it must be the name of a branch, as Git takes it" + EDIT
    )


@pytest.mark.parametrize("share", ["101%", "'50'", "-1%"])
def test_a_share_is_a_percentage(share: str) -> None:
    text = f"schema: 1\ngateway: {{port: 8081}}\npolicy: {{max_removals: {share}}}\n"
    assert message(text, Environment) == "m.yaml:3: policy.max_removals: it must be a share from 0% to 100%" + EDIT


@pytest.mark.parametrize("number", [".nan", ".inf", "-.INF", "+.inf", "1.0e+400"])
def test_a_number_is_finite(number: str) -> None:
    text = BASE + f"resources: {{cpus: {number}}}\n"
    assert message(text) == f"m.yaml:4: `{number}` is not a finite number" + EDIT


@pytest.mark.parametrize("bind", ["127.0.0.1", "0.0.0.0", "10.1.2.3", "'::1'"])
def test_any_ip_address_may_be_listened_on(bind: str) -> None:
    parsed = parse(f"schema: 1\ngateway: {{port: 8081, bind: {bind}}}\n".encode(), "m.yaml", Environment)
    assert parsed.gateway.bind == bind.strip("'")
