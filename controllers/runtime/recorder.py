"""Events (the Kubernetes kind) about objects, at a bounded rate. Decides; the scope writes.

An event has a name that is a function of what it says about whom, so that two peers that say the
same say it once, and saying it again counts up.

Source: client-go's EventCorrelator: a token bucket for each object, and counting of repeats.
"""

import hashlib
from collections import OrderedDict
from typing import Any, final

from controllers.runtime.actions import Say
from controllers.runtime.objects import from_ms, name_of, namespace_of, uid_of

__all__ = ["Recorder"]

_BURST, _REFILL_MS = 25, 300_000 // 25  # 25 at once, and as many in five minutes.
_REPEAT_MS = 60_000  # The same thing is said once a minute at most.
_REMEMBERED_MAX = 4_096


@final
class Recorder:
    """What was said lately. Memory: bounded; what is forgotten may be said again."""

    def __init__(self, component: str) -> None:
        self._component = component
        self._tokens: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._said: OrderedDict[str, tuple[int, int, int]] = OrderedDict()
        self.suppressed = 0
        """How many were not recorded because of the rate."""

    def event(self, say: Say, now_ms: int, wall_ms: int) -> tuple[dict[str, Any], int] | None:
        """Return the Event to write, and how often it has been said; None to say nothing."""
        about = say.about
        words = "\0".join((uid_of(about), say.kind.kind, say.reason, say.message, self._component))
        digest = hashlib.blake2b(words.encode(), digest_size=8).hexdigest()
        first_ms, last_ms, count = self._said.get(digest, (wall_ms, now_ms - _REPEAT_MS, 0))
        if now_ms - last_ms < _REPEAT_MS or not self._pays(uid_of(about), now_ms):
            self.suppressed += 1
            return None
        self._remember(self._said, digest, (first_ms, now_ms, count + 1))
        body = {
            "metadata": {
                "name": f"{name_of(about)[:200]}.{digest}",
                "namespace": namespace_of(about) or "default",
            },
            "involvedObject": {
                "apiVersion": say.kind.api_version, "kind": say.kind.kind, "name": name_of(about),
                "namespace": namespace_of(about), "uid": uid_of(about),
            },
            "type": "Warning" if say.warning else "Normal",
            "reason": say.reason, "message": say.message[:1_024],
            "source": {"component": self._component}, "reportingComponent": self._component,
            "reportingInstance": "", "firstTimestamp": from_ms(first_ms),
            "lastTimestamp": from_ms(wall_ms), "count": count + 1,
        }  # fmt: skip
        return body, count + 1

    def _pays(self, uid: str, now_ms: int) -> bool:
        tokens, since_ms = self._tokens.get(uid, (float(_BURST), now_ms))
        tokens = min(float(_BURST), tokens + (now_ms - since_ms) / _REFILL_MS)
        pays = tokens >= 1
        self._remember(self._tokens, uid, (tokens - pays, now_ms))
        return pays

    def _remember(self, memory: OrderedDict[str, Any], key: str, value: Any) -> None:
        memory[key] = value
        memory.move_to_end(key)
        if len(memory) > _REMEMBERED_MAX:
            memory.popitem(last=False)
