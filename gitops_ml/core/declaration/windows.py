"""When rollouts may begin: the windows of an environment, each opened by a cron schedule in a time zone.

Schedules follow Debian's cron at a change of the clocks: a fixed time that the clocks skip opens the window right after
the gap, and one that comes twice opens it the first time.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from msgspec import Meta

from gitops_ml.core.declaration.values import DeclaredStruct, Duration, require_within, seconds
from gitops_ml.suggest import did_you_mean

_ANY_TIME = datetime(2024, 1, 1, tzinfo=UTC)
"""Where the search for a schedule's first time begins, so that a declaration is valid today and tomorrow alike."""
_CLOCK_CHANGE = timedelta(hours=3)
"""More than clocks are ever put back: cron's order of local times may differ from their true order by as much."""


class Window(DeclaredStruct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A time in which rollouts may begin.

    `schedule`: when it opens, as the five fields of cron. `duration`: how long it stays open, from 1m to 31d.
    `timezone`: an IANA name such as Europe/Zurich, whose clocks `schedule` means.
    """

    schedule: Annotated[str, Meta(max_length=100)]
    duration: Duration
    timezone: Annotated[str, Meta(max_length=100)] = "UTC"

    def __post_init__(self) -> None:
        require_within("duration", self.duration, "1m", "31d")
        try:
            ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError):
            hint = did_you_mean(self.timezone, sorted(available_timezones()))
            raise ValueError(
                f"`timezone` is {self.timezone!r}, which is no IANA time zone such as Europe/Zurich"
                + (f": {hint}" if hint else "")
            ) from None
        try:
            if len(self.schedule.split()) != 5:
                raise CronSimError("Wrong number of fields")
            next(CronSim(self.schedule, _ANY_TIME))
        except (CronSimError, StopIteration) as error:
            reason = str(error).lower().replace("bad ", "no valid ") or "no such day"
            raise ValueError(
                f"`schedule` is {self.schedule!r}, and never comes ({reason}): write the five fields of cron, "
                "such as '0 9 * * mon-fri'"
            ) from None

    def closes(self, now: datetime) -> datetime | None:
        """When the window closes, in its time zone; None if it is closed at `now`."""
        zone = ZoneInfo(self.timezone)
        for opened in CronSim(self.schedule, (now + _CLOCK_CHANGE).astimezone(zone), reverse=True):
            if opened.astimezone(UTC) <= now:
                closes = opened.astimezone(UTC) + timedelta(seconds=seconds(self.duration))
                return closes.astimezone(zone) if now < closes else None
        return None

    def opens(self, now: datetime) -> datetime:
        """When the window opens next after `now`, in its time zone."""
        zone = ZoneInfo(self.timezone)
        times = CronSim(self.schedule, (now - _CLOCK_CHANGE).astimezone(zone))
        return next(opening for opening in times if opening.astimezone(UTC) > now)


def open_until(windows: Iterable[Window], now: datetime) -> datetime | None:
    """When the last of the open windows closes; None if all are closed."""
    closings = (closes for window in windows if (closes := window.closes(now)))
    return max(closings, key=datetime.timestamp, default=None)


def closed_until(windows: tuple[Window, ...], now: datetime) -> datetime | None:
    """When the next window opens; None if one is open, or there are none: then rollouts may begin."""
    if open_until(windows, now):
        return None
    # Of two times with the same zone, Python compares what the clocks show.
    return min((window.opens(now) for window in windows), key=datetime.timestamp, default=None)


def readable_time(time: datetime) -> str:
    """A time to the minute, with the name of its zone: `2026-11-30 09:00 Europe/Zurich`."""
    return f"{time:%Y-%m-%d %H:%M} {time.tzinfo}"
