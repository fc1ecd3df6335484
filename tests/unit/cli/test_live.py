"""The live view: where each deployment is, on a terminal; plain lines, and events with their facts, elsewhere."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from gitops_ml.cli import documents
from gitops_ml.cli.live import LiveView
from gitops_ml.control.events import Event, check_event, cleaned
from gitops_ml.control.reconciler import reconcile
from gitops_ml.core.verification.verdict import CheckResult
from tests.unit.builders import NAME, wanted
from tests.unit.control.canaries import bad_canary, serving_v1


def action(verb: str, deployment: str = "churn") -> Event:
    line = f"{verb} prod/{deployment} 3f0c5f0e21aa because v2 is declared"
    return Event(line, "action", environment="prod", deployment=deployment, verb=verb, subject="3f0c", because="")


def drawn(view: LiveView) -> list[str]:
    """The view as 80 columns show it, without the moving parts."""
    screen = io.StringIO()
    Console(file=screen, width=80, legacy_windows=False).print(view.table())
    return [line[2:].rstrip() for line in screen.getvalue().splitlines()]


def test_each_deployment_has_a_line_with_its_step() -> None:
    with LiveView() as view:
        for verb in ("begin", "build", "verify"):
            view.report(action(verb))
        view.report(check_event("prod", "churn", CheckResult(name="smoke", result="pass", reason="", figures={})))
        view.report(action("start", "spam"))
        assert drawn(view) == ["prod/churn is verified 0 s  smoke pass", "prod/spam  starts 0 s"]


def test_the_gateway_loses_its_line_when_the_deployments_begin() -> None:
    with LiveView() as view:
        view.report(action("ensure-gateway", ""))
        assert drawn(view) == ["prod/gateway gets its gateway 0 s"]
        view.report(action("build"))
        assert drawn(view) == ["prod/churn builds its image 0 s"]


def test_a_canary_has_its_share_and_its_evidence() -> None:
    facts = {"environment": "prod", "deployment": "churn", "percent": 25, "reason": "120 requests, 1 bad; " * 9}
    with LiveView() as view:
        view.report(action("watch"))
        view.report(Event("traffic prod/churn at 25%: …", "traffic", **facts))
        (line,) = drawn(view)
        assert "25% of users, 120 requests" in line and line.endswith("…") and len(line) <= 80
        view.report(action("route"))
        assert "users, " not in drawn(view)[0]


def test_the_view_is_drawn_on_a_terminal_and_goes_away() -> None:
    screen = io.StringIO()
    with LiveView(Console(file=screen, force_terminal=True, width=80)) as view:
        view.report(action("build"))
    assert "prod/churn builds its image" in screen.getvalue()
    assert screen.getvalue().endswith("\x1b[2K"), "its lines are erased"


def test_a_pipe_gets_lines_only(capsys: pytest.CaptureFixture[str]) -> None:
    with LiveView() as view:
        view.report(action("build"))
        view.report("go on")
    printed = capsys.readouterr()
    assert printed.err == "build prod/churn 3f0c5f0e21aa because v2 is declared\ngo on\n"
    assert printed.out == ""


def test_events_have_the_facts_of_their_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """A rollout as the executor reports it: actions, the traffic of a canary, checks, the record."""
    host, environment = bad_canary(NAME)
    lines: list[str] = []
    environment.reported = lines
    host.sync(environment)
    with documents.command("ndjson", quiet=True), LiveView() as view:
        for line in lines:
            view.report(line)
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    kinds = {event["event"] for event in events}
    assert {"action", "record", "result"} <= kinds
    begun = next(event for event in events if event.get("verb") == "begin")
    assert (
        begun["text"]
        == f"begin {begun['environment']}/{begun['deployment']} {begun['subject']} because " + (begun["because"])
    )
    assert next(event for event in events if event["event"] == "record")["attempts"]


def test_an_event_is_cleaned_with_its_facts() -> None:
    said = cleaned(
        check_event("prod", "churn", CheckResult(name="smoke", result="fail", reason="it said \x1b[2J", figures={}))
    )
    assert isinstance(said, Event)
    assert said == "smoke fail prod/churn: it said " and said.facts["reason"] == "it said "
    assert type(cleaned("a\x00")) is str


def test_every_verb_of_a_plan_has_words() -> None:
    from typing import get_args

    from gitops_ml.cli.live import _STEPS
    from gitops_ml.core.planning import plan

    assert {action.__struct_config__.tag for action in get_args(plan.Action)} == _STEPS.keys()


def test_nothing_to_do_shows_nothing() -> None:
    environment = serving_v1(NAME).declaring(wanted("v1"))
    view = LiveView(Console(file=(screen := io.StringIO()), force_terminal=True))
    with view:
        reconcile(environment)
    assert screen.getvalue() == ""
