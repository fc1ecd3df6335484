"""Draws the pages. Jinja2 escapes the texts of templates, `markup` those of pictures and figures.

Only the pages of an agent have a script.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jinja2
import msgspec

from gitops_ml.core.records.delivery import WINDOW, delivery
from gitops_ml.core.records.record import RecordedAttempt
from gitops_ml.page import markup, names, words
from gitops_ml.page.facts import DeploymentFacts, Site, Trace
from gitops_ml.page.pictures.choice import VERDICT_TONES, picture_of, trends_of
from gitops_ml.page.pictures.shapes import Picture, Shape

TEMPLATES = Path(__file__).parent / "templates"
NEAR = 10
"""The attempts before and after one whose times are shown beside its own."""
_STRIP = 12
"""The attempts in a strip of verdicts."""


class Page(NamedTuple):
    """A file of the site. `path` is relative and names no folder above.

    `text` is None where the page is as it was when it had the same `digest`.
    """

    path: str
    text: str | None
    digest: str = ""


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals |= {"names": names, "words": words, "strip": strip, "picture_of": picture_of, "markup": markup}
    return environment


def pages(site: Site, trace: Trace, known: Mapping[str, str] = MappingProxyType({})) -> Iterator[Page]:
    """Every page of the site.

    Args:
        known: the digests of pages that need not be drawn, by path.
    """
    yield Page(names.STYLE, style())
    digests = _digests(site)
    for path, draw in contents(site, trace).items():
        digest = digests.get(path, "")
        yield Page(path, None if digest and known.get(path) == digest else draw(), digest)


def _digests(site: Site) -> dict[str, str]:
    """A digest of all that an attempt's page is drawn from, by the page's path.

    An attempt that is settled changes no more. So of 10,000 pages only those near a new attempt are drawn again.
    """
    sources = sorted(path for path in Path(__file__).parent.rglob("*") if path.suffix in (".py", ".html"))
    program = _digest(*(path.read_bytes() for path in sources))
    digests: dict[str, str] = {}
    for deployment in site.deployments:
        where = deployment.environment, deployment.name
        attempts = [_digest(msgspec.json.encode(attempt)) for attempt in deployment.attempts]
        for place, attempt in enumerate(deployment.attempts):
            commit = msgspec.json.encode(site.commits.get(attempt.commit))
            near = attempts[max(0, place - NEAR) : place + NEAR + 1]
            digest = _digest(program, repr((site.project, *where, min(place, NEAR))).encode(), commit, *near)
            digests.setdefault(names.attempt_page(*where, attempt.id), digest.hex())
    return digests


def _digest(*parts: bytes) -> bytes:
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(hashlib.sha256(part).digest())
    return hashed.digest()


def style() -> str:
    """The style sheet of all pages."""
    return (TEMPLATES / names.STYLE).read_text()


def script() -> str:
    """What makes the page of an agent follow what happens."""
    return (TEMPLATES / names.SCRIPT).read_text()


def contents(site: Site, trace: Trace) -> Mapping[str, Callable[[], str]]:
    """What draws each page, by its path: a server draws, and traces, only what it is asked for."""
    draws: dict[str, Callable[[], str]] = {
        names.OVERVIEW: partial(_overview, site),
        names.DELIVERY: partial(_delivery, site),
    }
    for deployment in site.deployments:
        draws |= _of_deployment(site, deployment, trace)
    return draws


def _of_deployment(site: Site, deployment: DeploymentFacts, trace: Trace) -> dict[str, Callable[[], str]]:
    where = deployment.environment, deployment.name
    draws: dict[str, Callable[[], str]] = {
        names.deployment_page(*where): partial(_deployment, site, deployment),
        names.lineage_page(*where): partial(_lineage, site, deployment, trace),
    }
    for place, attempt in enumerate(deployment.attempts):
        path = names.attempt_page(*where, attempt.id)
        draws.setdefault(path, partial(_attempt, site, deployment, place, path))
    return draws


def _draw(template: str, site: Site, path: str, **facts: Any) -> str:
    return _environment().get_template(template).render(site=site, root=names.root_of(path), path=path, **facts)


def _overview(site: Site) -> str:
    cells = {(deployment.environment, deployment.name): deployment for deployment in site.deployments}
    return _draw(
        "overview.html",
        site,
        names.OVERVIEW,
        rows=sorted({deployment.name for deployment in site.deployments}),
        cells=cells,
        trouble=[(deployment, found) for deployment in site.deployments if (found := words.troubles(deployment))],
        holds=[(deployment, hold) for deployment in site.deployments if (hold := deployment.hold(site.at))],
        rollouts=[deployment for deployment in site.deployments if deployment.rollout],
        waiting=[(d, d.status.waiting) for d in site.deployments if d.status and d.status.waiting],
    )


def _delivery(site: Site) -> str:
    committed = {commit: facts.at for commit, facts in site.commits.items()}
    figures = [
        (
            environment,
            delivery((d.attempts for d in environment.deployments), committed, site.at),
            [(d, delivery([d.attempts], committed, site.at)) for d in environment.deployments if d.attempts],
        )
        for environment in site.environments
    ]
    return _draw("delivery.html", site, names.DELIVERY, figures=figures, days=WINDOW.days)


def _deployment(site: Site, deployment: DeploymentFacts) -> str:
    path = names.deployment_page(deployment.environment, deployment.name)
    return _draw("deployment.html", site, path, deployment=deployment, trends=trends_of(deployment.attempts))


def _lineage(site: Site, deployment: DeploymentFacts, trace: Trace) -> str:
    path = names.lineage_page(deployment.environment, deployment.name)
    return _draw("lineage.html", site, path, deployment=deployment, lineage=trace(deployment))


def _attempt(site: Site, deployment: DeploymentFacts, place: int, path: str) -> str:
    attempts = deployment.attempts
    attempt = attempts[place]
    return _draw(
        "attempt.html",
        site,
        path,
        deployment=deployment,
        attempt=attempt,
        near=[other for other in attempts[max(0, place - NEAR) : place + NEAR + 1] if other is not attempt],
        newer=attempts[place - 1] if place else None,
        older=attempts[place + 1] if place + 1 < len(attempts) else None,
    )


def strip(attempts: Sequence[RecordedAttempt]) -> Picture:
    """The verdicts of the newest attempts as a row of bars, the oldest first; a failure is also lower."""
    shown = list(reversed(attempts[:_STRIP]))
    shapes = []
    for place, attempt in enumerate(shown):
        style = VERDICT_TONES.get(attempt.verdict, "plain")
        height = {"good": 12.0, "bad": 5.0}.get(style, 8.0)
        shapes.append(Shape("rect", f"bar {style}", 6.0 * place, 12 - height, 4, height))
    said = ", ".join(f"{attempt.version} {attempt.verdict}" for attempt in shown)
    return Picture("Last attempts", said, 12, tuple(shapes), width=6.0 * _STRIP)
