"""When a cron expression fires: five fields, names, steps, ranges, and @hourly and the like.

Source: crontab(5); when both day fields are restricted, either one is enough.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Self, final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from crdtstate.errors import InvalidError

__all__ = ["Schedule", "zone_of"]

_MACROS = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0", "@daily": "0 0 * * *", "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}  # fmt: skip
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()), ("hour", 0, 23, ()), ("day of month", 1, 31, ()),
    ("month", 1, 12, _MONTHS), ("day of week", 0, 7, _DAYS),
)  # fmt: skip
_YEARS_MAX = 5


def zone_of(name: str | None) -> tzinfo:
    """Return a time zone, UTC for None. Raises: InvalidError."""
    if not name:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise InvalidError(f"time zone {name!r} is not known", code="invalid_schedule") from error


@final
@dataclass(frozen=True, slots=True)
class Schedule:
    """A parsed expression."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool
    """Both day fields are restricted."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return a schedule. Raises: InvalidError naming the field."""
        parts = _MACROS.get(text.strip().lower(), text).split()
        if len(parts) != len(_FIELDS):
            raise InvalidError(
                f"schedule {text!r} has {len(parts)} fields, not 5", code="invalid_schedule"
            )
        sets = [_numbers(part, *field) for part, field in zip(parts, _FIELDS, strict=True)]
        weekdays = frozenset(day % 7 for day in sets[4])
        either = parts[2][0] not in "*?" and parts[4][0] not in "*?"
        return cls(sets[0], sets[1], sets[2], sets[3], weekdays, either)

    def _on(self, day: datetime) -> bool:
        if day.month not in self.months:
            return False
        by_date, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return by_date or by_weekday if self.either_day else by_date and by_weekday

    def after(self, since: datetime) -> Iterator[datetime]:
        """Yield the times after `since`, in its zone, for up to five years."""
        zone = since.tzinfo
        midnight = since.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        for number in range(366 * _YEARS_MAX):
            day = midnight + timedelta(days=number)
            if not self._on(day):
                continue
            for hour in sorted(self.hours):
                for minute in sorted(self.minutes):
                    at = day.replace(hour=hour, minute=minute, tzinfo=zone)
                    # A time that the clocks skip does not exist: there and back it is another.
                    there = at.astimezone(UTC).astimezone(zone)
                    if at > since and there.replace(fold=0) == at:
                        yield at


def _numbers(text: str, name: str, low: int, high: int, names: tuple[str, ...]) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, _, step_text = part.partition("/")
        step = int(step_text) if step_text.isdigit() else 0 if step_text else 1
        first, dash, last = span.partition("-")
        if span in ("*", "?"):
            start, stop = low, high
        else:
            start = _number(first, low, names)
            stop = _number(last, low, names) if dash else high if step_text else start
        if step < 1 or not low <= start <= stop <= high:
            raise InvalidError(
                f"{name} {part!r} of a schedule is not within {low} to {high}",
                code="invalid_schedule",
            )
        found.update(range(start, stop + 1, step))
    return frozenset(found)


def _number(text: str, low: int, names: tuple[str, ...]) -> int:
    lowered = text.lower()
    if lowered in names:
        return names.index(lowered) + low
    return int(text) if text.isascii() and text.isdigit() else -1
