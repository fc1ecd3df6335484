"""The hosts of an environment: their names, and which of them come before which."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitops_ml.core.declaration.hosts import earlier_hosts, host_name
from gitops_ml.core.declaration.schema import Environment, Rollout

WAVES = st.lists(st.integers(1, 40) | st.integers(1, 100).map("{}%".format), max_size=5)


@pytest.mark.parametrize(
    ("engine", "name"),
    [
        ("ssh://deploy@leeds", "leeds"),
        ("ssh://deploy@Leeds.example.org:22/var/run/docker.sock", "leeds.example.org"),
        ("ssh://leeds:2222", "leeds-2222"),
        ("tcp://10.0.0.5:2376", "10.0.0.5-2376"),
        ("unix:///run/docker.sock", "var-run-docker.sock"),
        ("ssh://leeds/run/user/1000/docker.sock", "leeds-var-run-user-1000-docker.sock"),
    ],
)
def test_the_name_of_a_host(engine: str, name: str) -> None:
    assert host_name(engine) == name


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"engine": "ssh://a", "engines": ["ssh://b"]}, "`engine` and `engines` are both there"),
        ({"engines": []}, "`engines` is empty"),
        ({"engines": ["ssh://a", "ssh://b", "ssh://ada@A:22"]}, "`engines` has the host `a` twice"),
        ({"engines": ["ssh://."]}, "names no host"),
        ({"engines": ["a"]}, "regex"),
    ],
)
def test_hosts_that_cannot_be(keys: dict[str, object], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert({"schema": 1, "gateway": {"port": 8080}} | keys, Environment)


@pytest.mark.parametrize("waves", [[0], ["0%"], ["101%"], ["25"], [1.5]])
def test_waves_that_cannot_be(waves: list[object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"waves": waves}, Rollout)


@pytest.mark.parametrize(
    ("waves", "earlier"),
    [
        ([1], [0, 1, 1, 1, 1, 1, 1, 1]),
        ([], [0] * 8),
        ([1, "25%", "50%"], [0, 1, 2, 2, 4, 4, 4, 4]),
        ([100], [0] * 8),
        (["1%"], [0, 1, 1, 1, 1, 1, 1, 1]),
    ],
)
def test_how_many_hosts_come_before_each(waves: list[int | str], earlier: list[int]) -> None:
    hosts = list("abcdefgh")
    assert [len(earlier_hosts(hosts, host, waves)) for host in hosts] == earlier


@given(st.integers(1, 60), WAVES)
def test_every_host_has_its_turn_and_the_first_waits_for_nobody(count: int, waves: list[int | str]) -> None:
    hosts = [f"h{n}" for n in range(count)]
    verified: set[str] = set()
    rounds = 0
    while len(verified) < count:
        begins = {host for host in hosts if verified.issuperset(earlier_hosts(hosts, host, waves))} - verified
        assert begins, "nobody may begin"
        verified |= begins
        rounds += 1
    ends = {math.ceil(count * int(w[:-1]) / 100) if isinstance(w, str) else w for w in waves}
    assert rounds == len({end for end in ends if end < count}) + 1
    assert earlier_hosts(hosts, hosts[0], waves) == []
