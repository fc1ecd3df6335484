"""A host that serves with two replicas, for tests that change it: `plan` names the change, and `sync` fixes it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import docker
import pytest

from tests.e2e.host import Host
from tests.e2e.workshop import Workshop, scratch_workshop


@dataclass
class Standing:
    """A workshop whose only deployment serves with two replicas, and its host."""

    workshop: Workshop
    host: Host
    whole: bool = True

    def pending(self) -> str:
        """The plan as text. Fails the test if nothing is pending."""
        ran = self.workshop.run("plan", "dev")
        assert ran.code == 2, f"{ran.code}\n{ran.out}\n{ran.err}"
        return ran.out

    def pending_within(self, seconds: float) -> str:
        """The plan as text, once something is pending."""
        deadline = time.monotonic() + seconds
        while (ran := self.workshop.run("plan", "dev")).code == 0 and time.monotonic() < deadline:
            time.sleep(0.5)
        assert ran.code == 2, f"{ran.code}\n{ran.out}\n{ran.err}"
        return ran.out

    def require_whole(self) -> None:
        """Check that two replicas answer through the gateway, nothing is pending and there are no other objects."""
        deadline = time.monotonic() + 60
        # The gateway looks at each server every 2 s, and may just have met one that was on its way out.
        while (status := self.workshop.status())["health"] != "Healthy" and time.monotonic() < deadline:
            time.sleep(0.2)
        assert (status["sync"], status["health"]) == ("Synced", "Healthy"), status
        assert status["replicas"] == {"desired": 2, "ready": 2}
        assert self.workshop.serving() == "v1.0.0"
        roles = [len(self.host.of_role(role)) for role in ("replica", "gateway", "probe", "volume-reader", "lock")]
        assert roles == [2, 1, 0, 0, 0]
        self.whole = True


@pytest.fixture(scope="module")
def raised(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    with scratch_workshop(engine, tmp_path_factory.mktemp("healing"), "healing") as workshop:
        workshop.environment(drain="2s")
        workshop.release("v1.0.0")
        workshop.declare("v1.0.0", replicas=2, serve={"start_timeout": "30s"})
        workshop.sync()
        yield Standing(workshop, Host(engine, workshop.project))


@pytest.fixture
def standing(raised: Standing) -> Standing:
    """The host, repaired after each test, so that a failed test does not make the next one fail."""
    if not raised.whole:
        raised.workshop.sync()
    raised.whole = False
    return raised
