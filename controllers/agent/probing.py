"""One probe of one running container: when to ask next, and what the answers amount to.

Source: Kubernetes' probe worker: an answer counts only after as many equal ones in a row as its
threshold says; until then the verdict stays what it was.
"""

from typing import final

from controllers.agent.podspec import Probe

__all__ = ["Probing"]


@final
class Probing:
    """The state of one probe. `verdict` None: not decided yet."""

    def __init__(self, spec: Probe, started_ms: int, verdict: bool | None) -> None:
        self.spec = spec
        self.verdict = verdict
        self.asked = False
        self._last: bool | None = None
        self._run = 0
        self._next_ms = started_ms + spec.initial_delay_ms

    @property
    def due_ms(self) -> int | None:
        """When to ask; None while an answer is awaited."""
        return None if self.asked else self._next_ms

    def ask(self, now_ms: int) -> bool:
        """Return True when it is to be asked now, once a period."""
        if self.asked or now_ms < self._next_ms:
            return False
        self.asked = True
        # From the due time, so that the period does not drift; never to catch up what was missed.
        self._next_ms = max(self._next_ms + self.spec.period_ms, now_ms + 1)
        return True

    def answer(self, passed: bool) -> bool:
        """Count one answer; return True when the verdict has changed by it."""
        self.asked = False
        self._run = self._run + 1 if passed == self._last else 1
        self._last = passed
        enough = self.spec.successes if passed else self.spec.failures
        if self._run < enough or self.verdict == passed:
            return False
        self.verdict = passed
        return True
