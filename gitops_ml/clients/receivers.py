"""Receivers of notifications, such as a chat, a webhook or a mailbox, by Apprise: its one importer.

An address holds a secret. So no part of one is ever in a message or a log: its place in the list names a receiver.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, Literal

from gitops_ml.clients import background
from gitops_ml.core.text import clean
from gitops_ml.errors import InputError

ADDRESSES = "GITOPS_ML_NOTIFY"
SECONDS = 20.0
"""How long one receiver may take to take one message."""
_STATUS = re.compile(r"error=(\d+)")

Kind = Literal["failure", "warning", "success", "info"]
"""How a receiver shows a message: its colour or its sign."""


def read_addresses(environ: Mapping[str, str], file: Path | None) -> list[str]:
    """The addresses of receivers, from a file or an environment variable, separated by white space.

    Lines that begin with `#` are left out. Raises `InputError` if the file cannot be read.
    """
    try:
        text = environ.get(ADDRESSES, "") if file is None else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8"
        raise InputError(f"the receivers of notifications cannot be read from {file}", why=why) from error
    return [part for line in text.splitlines() if not line.lstrip().startswith("#") for part in line.split()]


class Receiver:
    """One receiver.

    Args:
        address: an Apprise URL (https://github.com/caronc/apprise/wiki).
        place: its place among the receivers, beginning with 1.

    Raises `InputError` if Apprise is not installed, or the address means nothing to it.
    """

    def __init__(self, address: str, place: int) -> None:
        try:
            from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType
        except ImportError as error:
            raise InputError(
                "notifications need Apprise, which is not installed",
                why=f"{ADDRESSES} or --notify-file names receivers",
                fix="pip install 'gitops-ml[notify]'",
            ) from error
        # What Apprise logs may name the address.
        logger = logging.getLogger("apprise")
        logger.propagate = False
        logger.addHandler(logging.NullHandler())
        asset = AppriseAsset(
            app_id="gitops-ml",
            app_desc="gitops-ml",
            app_url="",
            image_url_mask="",  # a picture at another host, for receivers to fetch
            image_url_logo="",
            storage_mode="memory",
            async_mode=False,
            service_timeout=0,  # ours is in `send`: Apprise leaves a late call in a pool that all receivers share
        )
        service = Apprise.instantiate(address, asset=asset)
        if service is None:
            raise InputError(
                f"receiver {place} of notifications has an address that Apprise does not know",
                why="the address is not shown, since it may hold a secret",
                fix=f"correct address {place} in {ADDRESSES} or in the file; https://github.com/caronc/apprise/wiki",
            )
        self.name = f"receiver {place} ({service.service_name})"
        self._sender = Apprise(service, asset=asset)
        self._kinds, self._format = NotifyType, NotifyFormat.TEXT
        self._call: Future[Any] | None = None

    def send(self, kind: Kind, title: str, body: str) -> str:
        """Send one message as plain text. Return why it was not taken, empty if it was. Raises nothing."""
        if self._call and not self._call.done():
            return "it does not answer"  # its last call still runs
        self._call = background.begin(
            partial(
                self._sender.notify,
                title=_harmless(title),
                body=_harmless(body),
                notify_type=self._kinds(kind),
                body_format=self._format,
            )
        )
        try:
            result = background.result_within(self._call, SECONDS)
        except TimeoutError:
            return "it does not answer"
        except Exception as error:  # a defect of one of some 130 services
            return f"unforeseen {type(error).__name__}"
        if result:
            return ""
        statuses = [match[1] for entry in result.logs() if (match := _STATUS.search(entry.message))]
        return f"it answered {statuses[-1]}" if statuses else "it does not answer"


def _harmless(text: str) -> str:
    """A text that addresses nobody: a log line with `@everyone` in it wakes no team."""
    return clean(text).replace("@", "@\u200b")
