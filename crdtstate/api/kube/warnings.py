"""Warning headers: what the user should know at the moment of writing. kubectl prints them.

Source: RFC 7234 section 5.5, code 299; Kubernetes KEP-1693.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["minority_warning", "overridden_warning", "warning_header"]

TEXT_CHARS_MAX, TOTAL_CHARS_MAX = 512, 4096
_PATHS_TOLD = 5


def warning_header(texts: Iterable[str]) -> str | None:
    """Return the value of the header; the texts over the bound are left out."""
    values: list[str] = []
    total = 0
    for text in dict.fromkeys(texts):
        plain = "".join(c if 0x20 <= ord(c) < 0x7F else "?" for c in text[:TEXT_CHARS_MAX])
        escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
        values.append(f'299 - "{escaped}"')
        total += len(values[-1])
        if total > TOTAL_CHARS_MAX:
            break
    return ", ".join(values) or None


def minority_warning(status: Mapping[str, Any]) -> str | None:
    """Return what to say when the peer sees a minority of the members."""
    if not status.get("minority"):
        return None
    reached = len(status.get("linked") or ()) + 1
    return (
        f"this peer reaches {reached} of {status.get('members')} members, a minority: the write "
        "is accepted here, and joins what the others write when the links heal"
    )


def overridden_warning(paths: Sequence[str]) -> str | None:
    """Return what to say when concurrent values were replaced."""
    if not paths:
        return None
    told = ", ".join(paths[:_PATHS_TOLD])
    more = f" and {len(paths) - _PATHS_TOLD} more" if len(paths) > _PATHS_TOLD else ""
    return f"values that were written concurrently elsewhere are replaced: {told}{more}"
