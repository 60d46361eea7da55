"""Times as people read them: how long ago, in at most two units.

Source: the rounding of Kubernetes' `duration.HumanDuration`.
"""

from datetime import UTC, datetime

__all__ = ["UNKNOWN", "between", "human", "parse_ms", "since"]

UNKNOWN = "<unknown>"


def parse_ms(text: str) -> int | None:
    """Return a time of RFC 3339 in milliseconds, or None when it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def since(text: object, now_ms: int) -> str:
    """Return how long ago a time was, or <unknown>."""
    start_ms = parse_ms(text) if isinstance(text, str) else None
    return UNKNOWN if start_ms is None else human(now_ms - start_ms)


def between(first: object, last: object) -> str:
    """Return how long it is from one time to another, or <unknown>."""
    start_ms = parse_ms(first) if isinstance(first, str) else None
    end_ms = parse_ms(last) if isinstance(last, str) else None
    return UNKNOWN if start_ms is None or end_ms is None else human(end_ms - start_ms)


def human(span_ms: int) -> str:
    """Return a span in one or two units: 5s, 3m20s, 25m, 7h5m, 30h, 5d3h, 400d, 3y20d."""
    seconds = span_ms // 1000
    if seconds < -1:
        return "<invalid>"
    if seconds < 0:
        return "0s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    years = days // 365
    return _two(years, "y", days % 365, "d") if years < 8 else f"{years}y"


def _two(large: int, unit: str, small: int, smaller: str) -> str:
    return f"{large}{unit}{small}{smaller}" if small else f"{large}{unit}"
