"""While one deployment takes long, the others are watched and healed."""

from __future__ import annotations

from gitops_ml.control.reconciler import reconcile
from tests.unit.builders import NAME, wanted
from tests.unit.control.canaries import OTHER, bad_canary, serving_v1
from tests.unit.control.threaded import ThreadedSession, until


def test_a_bad_canary_is_rolled_back_while_the_checks_of_another_deployment_still_run() -> None:
    host, environment = bad_canary(NAME)
    environment.session_type = ThreadedSession
    seen = []

    def slow_checks() -> None:
        seen.append(until(host, lambda: [a.outcome for a in host.state(OTHER).attempts] == ["promoted", "failed"]))

    host.behaviour.slow[NAME] = slow_checks
    reconcile(environment)
    reconcile(environment)
    assert seen == [True] and host.serves(OTHER) == ["1" * 12]


def test_what_breaks_is_healed_while_the_checks_of_another_deployment_still_run() -> None:
    host = serving_v1(NAME, OTHER)
    environment = host.declaring(wanted("v3"), wanted("v1", OTHER))
    environment.session_type = ThreadedSession
    healed = []

    def slow_checks() -> None:
        host.kill(host.replicas(OTHER)[0].id)
        healed.append(until(host, lambda: host.serves(OTHER) == ["1" * 12]))

    host.behaviour.slow[NAME] = slow_checks
    reconcile(environment)
    assert healed == [True]
    host.require_safe()
