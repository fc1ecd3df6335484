"""Lines of progress that know the facts they were made of, for programs (`-o ndjson`) and for the live view."""

from __future__ import annotations

from gitops_ml.core.text import clean
from gitops_ml.core.verification.verdict import CheckResult


class Event(str):
    """A line of progress. Whoever only wants the line may take it as the text that it is.

    Attributes:
        kind: action, check, traffic or record.
        facts: what the line says, as values that JSON can hold.
    """

    __slots__ = ("facts", "kind")

    kind: str
    facts: dict[str, object]

    def __new__(cls, text: str, kind: str, **facts: object) -> Event:
        event = super().__new__(cls, text)
        event.kind, event.facts = kind, facts
        return event


def check_event(environment: str, deployment: str, check: CheckResult) -> Event:
    """The line of a check's result."""
    return Event(
        f"{check.name} {check.word} {environment}/{deployment}: {check.reason}",
        "check",
        environment=environment,
        deployment=deployment,
        check=check.name,
        result=check.word,
        reason=check.reason,
    )


def cleaned(text: str) -> str:
    """The line without what a terminal would obey; an event stays one."""
    if not isinstance(text, Event):
        return clean(text)
    facts = {key: clean(value) if isinstance(value, str) else value for key, value in text.facts.items()}
    return Event(clean(text), text.kind, **facts)
