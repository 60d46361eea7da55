"""The wall between the mesh and the application above it: a callback that raises is our caller's
bug, and must neither stop the protocol nor go unseen."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, final

import structlog

from gossip.core.ports import Application, Member

log = structlog.get_logger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


@final
class Guard:
    """An Application that logs and reports the exceptions of the one it wraps."""

    def __init__(
        self, application: Application, on_failure: Callable[[BaseException], None]
    ) -> None:
        self._application = application
        self._on_failure = on_failure

    def digest(self) -> bytes:
        return self._call(b"", self._application.digest)

    def on_digest(self, name: str, digest: bytes) -> None:
        self._call(None, self._application.on_digest, name, digest)

    def on_member(self, member: Member) -> None:
        self._call(None, self._application.on_member, member)

    def on_link_up(self, name: str) -> None:
        self._call(None, self._application.on_link_up, name)

    def on_link_down(self, name: str, reason: str) -> None:
        self._call(None, self._application.on_link_down, name, reason)

    def on_message(self, name: str, payload: bytes) -> None:
        self._call(None, self._application.on_message, name, payload)

    def _call(self, otherwise: R, call: Callable[P, R], *args: P.args, **kw: P.kwargs) -> R:
        try:
            return call(*args, **kw)
        except Exception as error:
            log.exception("callback_failed", callback=call.__name__)
            self._on_failure(error)
            return otherwise
