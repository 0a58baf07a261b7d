"""Keeps thousands of workloads from hammering a source that is down.

After some failures in a row nothing is asked for a while; then one question
goes through alone, and its answer opens the door again. Refuses to judge what
a failure is: the caller tells it.
"""

from predictscale.clock import Clock
from predictscale.errors import SourceUnavailable

_LONGEST_PAUSE_S = 60.0


class Breaker:
    """Closed, open, or letting one probe through.

    Args:
        clock: Its monotonic time is used.
        limit: Failures in a row after which it opens.
        pause_s: How long it stays open before a probe [s].
    """

    def __init__(self, *, clock: Clock, limit: int = 5, pause_s: float = 10.0) -> None:
        self._clock = clock
        self._limit = limit
        self._pause_s = pause_s
        self._failures = 0
        self._open_until_s: float | None = None
        self._probing = False
        self._last = ""

    def admit(self) -> None:
        """Let one question through; `succeeded`, `failed` or `abandoned` must follow.

        Raises:
            SourceUnavailable: It is open, or a probe is on its way.
        """
        if self._open_until_s is None:
            return
        left_s = self._open_until_s - self._clock.monotonic_s()
        if left_s > 0 or self._probing:
            raise SourceUnavailable(
                f"not asked: {self._failures} attempts failed in a row, the last with: {self._last}",
                retry_after_s=max(left_s, 0.0),
            )
        self._probing = True

    def succeeded(self) -> None:
        """The source answered: the door is open for everybody."""
        self._failures = 0
        self._open_until_s = None
        self._probing = False

    def failed(self, error: SourceUnavailable) -> None:
        """The source did not answer, or asked for a pause, which is kept up to a minute."""
        self._failures += 1
        self._probing = False
        self._last = str(error)
        pause_s = min(error.retry_after_s or 0.0, _LONGEST_PAUSE_S)
        if self._failures >= self._limit:
            pause_s = max(pause_s, self._pause_s)
        if pause_s > 0:
            self._open_until_s = self._clock.monotonic_s() + pause_s

    def abandoned(self) -> None:
        """The question was taken back, so nothing is known; the next one may probe."""
        self._probing = False
