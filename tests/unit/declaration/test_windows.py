"""When a window opens and closes, in its own time zone, also where clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitops_ml.clients.files.yaml_read import parse
from gitops_ml.core.declaration.schema import Environment, json_schema
from gitops_ml.core.declaration.windows import Window, closed_until, open_until, readable_time
from gitops_ml.errors import InputError
from tests.effort import examples

OFFICE = {"schedule": "0 9 * * mon-fri", "duration": "8h", "timezone": "Europe/Zurich"}


def window(schedule: str, duration: str = "1h", timezone: str = "UTC") -> Window:
    return msgspec.convert({"schedule": schedule, "duration": duration, "timezone": timezone}, Window)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def next_opening(text: str, *windows: Window) -> str:
    until = closed_until(windows, at(text))
    return readable_time(until) if until else "open"


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-11-27T07:59:59+00:00", "2026-11-27 09:00 Europe/Zurich"),
        ("2026-11-27T08:00:00+00:00", "open"),
        ("2026-11-27T15:59:59+00:00", "open"),
        ("2026-11-27T16:00:00+00:00", "2026-11-30 09:00 Europe/Zurich"),  # Friday evening
        ("2026-11-27T16:00:00.5+00:00", "2026-11-30 09:00 Europe/Zurich"),
        ("2026-07-27T07:00:00+00:00", "open"),  # summer time
    ],
)
def test_office_hours(now: str, expected: str) -> None:
    assert next_opening(now, msgspec.convert(OFFICE, Window)) == expected


def test_one_open_window_is_enough_and_the_nearest_opens_next() -> None:
    early, late = window("0 6 * * *"), window("0 8 * * *", "2h")
    assert next_opening("2026-11-27T09:59:00+00:00", early, late) == "open"
    assert open_until((early, late), at("2026-11-27T09:59:00+00:00")) == at("2026-11-27T10:00:00+00:00")
    assert next_opening("2026-11-27T10:00:00+00:00", late, early) == "2026-11-28 06:00 UTC"


def test_times_are_compared_as_times_where_clocks_show_one_twice() -> None:
    """01:30 UTC is half past two in Zurich for the second time, and half an hour before three."""
    late, early = window("15 3 * * *", "1h", "Europe/Zurich"), window("*/30 * * * *", "1m", "Europe/Zurich")
    opens = closed_until((late, early), at("2026-10-25T01:10:00+00:00"))
    first, second = window("0 2 * * *", "50m", "Europe/Zurich"), window("0 2 * * *", "80m", "Europe/Zurich")
    closes = open_until((first, second), at("2026-10-25T00:10:00+00:00"))
    # Python calls no time of the hour that comes twice equal to one of another zone.
    assert opens and opens.astimezone(UTC) == at("2026-10-25T01:30:00+00:00")
    assert closes and closes.astimezone(UTC) == at("2026-10-25T01:20:00+00:00")


def test_no_windows_mean_any_time() -> None:
    assert next_opening("2026-11-27T10:00:00+00:00") == "open"


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        # On 2026-03-29 the clocks in Zurich go from 02:00 to 03:00: half past two opens at three.
        ("2026-03-29T00:59:59+00:00", "2026-03-29 03:00 Europe/Zurich"),
        ("2026-03-29T01:00:00+00:00", "open"),
        ("2026-03-29T01:20:00+00:00", "2026-03-30 02:30 Europe/Zurich"),
        # On 2026-10-25 they go from 03:00 to 02:00: half past two comes at 00:30 and at 01:30 UTC.
        ("2026-10-25T00:29:59+00:00", "2026-10-25 02:30 Europe/Zurich"),
        ("2026-10-25T00:30:00+00:00", "open"),
        ("2026-10-25T00:49:59+00:00", "open"),
        ("2026-10-25T00:50:00+00:00", "2026-10-26 02:30 Europe/Zurich"),
        ("2026-10-25T01:10:00+00:00", "2026-10-26 02:30 Europe/Zurich"),
        ("2026-10-25T01:31:00+00:00", "2026-10-26 02:30 Europe/Zurich"),
    ],
)
def test_a_time_that_the_clocks_skip_or_repeat(now: str, expected: str) -> None:
    assert next_opening(now, window("30 2 * * *", "20m", "Europe/Zurich")) == expected


def test_a_window_over_a_change_of_the_clocks_lasts_its_duration() -> None:
    night = window("0 22 * * *", "6h", "Europe/Zurich")
    assert night.closes(at("2026-03-28T23:00:00+00:00")) == at("2026-03-29T03:00:00+00:00")
    assert night.closes(at("2026-10-24T23:00:00+00:00")) == at("2026-10-25T02:00:00+00:00")


@settings(max_examples=examples(150), deadline=None)
@given(
    hour=st.integers(0, 23),
    minute=st.integers(0, 59),
    length=st.integers(1, 30 * 60),
    now=st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)),
    zone=st.sampled_from(["Europe/Zurich", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kolkata"]),
)
def test_daily_windows_are_open_where_a_search_by_minutes_says_so(
    hour: int, minute: int, length: int, now: datetime, zone: str
) -> None:
    """The oracle looks at each minute's local time. Skipped times are left to the test above."""
    now = now.replace(microsecond=0, tzinfo=UTC)
    minutes = [now.replace(second=0) - timedelta(minutes=n) for n in range(length)]
    opened = [
        time
        for time in minutes
        if (local := time.astimezone(ZoneInfo(zone))).hour == hour and local.minute == minute and local.fold == 0
    ]
    daily = window(f"{minute} {hour} * * *", f"{length}m", zone)
    days = {time.astimezone(ZoneInfo(zone)).utcoffset() for time in (now - timedelta(days=3), now)}
    if len(days) == 1:
        assert (daily.closes(now) is not None) == bool(opened)
    following = daily.opens(now)
    assert now < following <= now + timedelta(hours=26)
    closes = daily.closes(following)
    assert closes and closes.astimezone(UTC) == following.astimezone(UTC) + timedelta(minutes=length)
    assert closed_until((daily,), following) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schedule": "0 0 30 2 *"}, "no valid day-of-month"),
        ({"schedule": "0 0 */30 2 tue#5"}, "no such day"),
        ({"schedule": "0 25 * * *"}, "no valid hour"),
        ({"schedule": "0 9 * *"}, "wrong number of fields"),
        ({"schedule": "0 0 9 * * *"}, "wrong number of fields"),
        ({"schedule": ""}, "wrong number of fields"),
        ({"schedule": "@daily"}, "wrong number of fields"),
        ({"timezone": "Europe/Zuerich"}, "did you mean `Europe/Zurich`?"),
        ({"timezone": "Europe"}, "no IANA time zone"),
        ({"timezone": "../../etc/passwd"}, "no IANA time zone"),
        ({"timezone": "/etc/localtime"}, "no IANA time zone"),
        ({"timezone": ""}, "no IANA time zone"),
        ({"timezone": "a\0b"}, "no IANA time zone"),
        ({"duration": "30s"}, "must be from 1m to 31d"),
        ({"duration": "32d"}, "must be from 1m to 31d"),
    ],
)
def test_a_window_that_cannot_be(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=r".*") as caught:
        msgspec.convert(OFFICE | change, Window)
    assert reason in str(caught.value)


@settings(max_examples=examples(150), deadline=None)
@given(st.text("0123456789*,-/L#W mon", max_size=30))
def test_any_schedule_is_refused_or_opens(schedule: str) -> None:
    try:
        made = window(schedule)
    except msgspec.ValidationError:
        return
    now = at("2026-11-27T10:00:00+00:00")
    assert made.opens(now) > now
    made.closes(now)


def test_the_file_says_where_the_mistake_is() -> None:
    text = "schema: 1\ngateway: {port: 8081}\npolicy:\n  windows:\n    - {schedule: 0 9 * * 8, duration: 8h}\n"
    with pytest.raises(InputError, match=r"environment.yaml:5: policy.windows.*no valid day-of-week"):
        parse(text.encode(), "environment.yaml", Environment)


def test_an_empty_list_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="length >= 1"):
        msgspec.convert({"schema": 1, "gateway": {"port": 1}, "policy": {"windows": []}}, Environment)


def test_editors_know_windows() -> None:
    definition = json_schema("environment")["$defs"]["Window"]
    assert set(definition["properties"]) == {"schedule", "duration", "timezone"}
    assert definition["required"] == ["schedule", "duration"]
