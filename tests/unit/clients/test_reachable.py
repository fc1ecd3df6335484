"""Hosts whose names resolve to addresses that only the machine itself should ask."""

from __future__ import annotations

import pytest

from gitops_ml.clients.artifacts.reachable import why_unreachable_now


@pytest.mark.parametrize(
    "url",
    [
        "http://2852039166/models",
        "https://0xa9fea9fe:9000",
        "ssh://ada@169.254.43518/x",
        "git@2852039166:x.git",
        "169.254.169.254:x.git",
    ],
)
def test_a_name_of_a_metadata_address_is_refused(url: str) -> None:
    assert "169.254.169.254 is a link-local address" in why_unreachable_now(url, None)


@pytest.mark.parametrize(
    "url", ["http://localhost:9000/x", "http://nowhere.invalid/x", "http://a..b/x", "s3://2852039166/x", "/mnt/models"]
)
def test_other_names_are_left_to_the_library_that_asks_them(url: str) -> None:
    assert why_unreachable_now(url, None) == ""


def test_what_the_operator_permits_is_not_looked_up() -> None:
    assert why_unreachable_now("http://2852039166/models", ("http://2852039166",)) == ""
    assert "not among those" in why_unreachable_now("http://localhost/models", ("http://2852039166",))
    assert "runs a program" in why_unreachable_now("ext::sh", None)
