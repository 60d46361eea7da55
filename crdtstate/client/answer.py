"""An HTTP answer as a value, and its body as a typed value."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar, final

import msgspec

from crdtstate.errors import UnavailableError

__all__ = ["Answer", "decode_body"]

T = TypeVar("T")


@final
@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers with names in lower case, and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def decode_body(data: bytes, kind: type[T]) -> T:
    """Return JSON as `kind`. Raises: UnavailableError (code bad_answer)."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnavailableError(
            f"answer is not what this API gives: {error}", code="bad_answer"
        ) from error
