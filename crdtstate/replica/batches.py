"""What waits for one batch to become durable, and what may leave the process then."""

from typing import Any, final

import msgspec

from crdtstate.store.store import Committed
from crdtstate.store.transaction import encode_frame

__all__ = ["Batch", "Wanted"]

Wanted = tuple[Any, Committed, int | str, int]  # request, outcome, replicas, deadline


@final
class Batch(msgspec.Struct, frozen=True):
    """The batch in flight: its own transactions (`first` is the seq of the first) and requests."""

    first: int
    bodies: list[bytes]
    vector: dict[int, int]
    revision: int
    root: int
    replies: list[tuple[Any, Committed]]
    wanted: list[Wanted]
    system_changed: bool
    objects_changed: bool
    forwards: list[tuple[str, bytes]]  # pushes of others that were news here, and who sent them

    def frames(self, origin: int, push_bytes_max: int) -> list[bytes]:
        """Pack the transactions into frames that fit a payload where they can."""
        frames: list[bytes] = []
        start, size = 0, 0
        for at, body in enumerate(self.bodies):
            if size and size + len(body) > push_bytes_max:
                frames.append(encode_frame(origin, self.first + start, self.bodies[start:at]))
                start, size = at, 0
            size += len(body)
        if self.bodies:
            frames.append(encode_frame(origin, self.first + start, self.bodies[start:]))
        return frames
