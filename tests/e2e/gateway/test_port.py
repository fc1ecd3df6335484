"""The port of a gateway that another container of the same engine has is named before a rollout begins."""

from __future__ import annotations

import pytest

from gitops_ml.clients.gateway.port import require_free_port
from gitops_ml.core.declaration.schema import Gateway
from gitops_ml.errors import InputError
from tests.e2e.place import Place, place_fixture

place = place_fixture


def test_a_port_of_another_projects_gateway_is_refused(place: Place) -> None:
    place.ensure_gateway()
    gateway = Gateway(port=place.port)
    require_free_port(place.engine, place.project, "dev", gateway)
    require_free_port(place.engine, "other", "dev", Gateway(port=place.port, bind="127.0.0.2"))
    with pytest.raises(InputError, match=f"cannot listen on port {place.port}") as caught:
        require_free_port(place.engine, "other", "dev", gateway)
    assert f"the gateway of {place.project} dev" in caught.value.why
    with pytest.raises(InputError):
        require_free_port(place.engine, "other", "dev", Gateway(port=place.port, bind="0.0.0.0"))
