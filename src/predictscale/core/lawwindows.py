"""What pods did, minute by minute: the rows that a capacity law is learned from.

A row is one pod in one window, as Prometheus' rates give it. A window says
something about capacity only if the pod was warm, served something, and was
limited by its arithmetic rather than by a full cache or a queue. The others are
left out here, by reason, and counted. NaN in a column means that the backend
does not tell: it drops every row where the column is fitted, and none where the
column only guards.
"""

from dataclasses import dataclass, field, fields, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from predictscale.core.series import Floats

Mask = NDArray[np.bool_]

KEEP_S = 7 * 86_400.0
"""Windows older than this say nothing of today's engine [s]."""

WARM_AFTER_S = 600.0
"""Younger pods still compile and fill their caches [s]."""

LEAST_WORK = 50.0
"""A mean over fewer tokens (requests, where those are counted) is noise."""


def _untold() -> Floats:
    return np.array(np.nan)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Windows:
    """Rows (n,), one per pod and window of about a minute.

    For plain HTTP a request is the token: see `of_requests`.

    Args:
        ends_s: End of each window, seconds since the epoch.
        itl_s: Mean inter-token latency, sum over count [s].
        output_tokens_per_s: Decoded tokens per second.
        input_tokens_per_s: Prefilled tokens per second, without cache hits.
        work: What ITL is a mean of: output tokens in the window, or requests or batches.
        requests: First tokens in the window; NaN if not told.
        running: Requests in the batch, mean; NaN if not told.
        ttft_p95_s: Time to first token, 95 % quantile [s]; NaN if not told.
        ttft_mean_s: The same, mean [s]; NaN if not told.
        waiting_share: Share of the window in which requests waited; NaN if not told.
        preemptions: In the window; NaN if not told.
        pod_age_s: At the window's end [s]; NaN if not told.
        kv_usage: Share of the cache in use; NaN if not told.
        context_tokens: That a running request holds, as `lawcontext.contexts` tells; NaN if not told.
        window_s: Length of every window [s].

    Raises:
        ValueError: Columns differ in length, or a value is negative or infinite.
    """

    ends_s: Floats
    itl_s: Floats
    output_tokens_per_s: Floats
    input_tokens_per_s: Floats
    work: Floats
    requests: Floats = field(default_factory=_untold)
    running: Floats = field(default_factory=_untold)
    ttft_p95_s: Floats = field(default_factory=_untold)
    ttft_mean_s: Floats = field(default_factory=_untold)
    waiting_share: Floats = field(default_factory=_untold)
    preemptions: Floats = field(default_factory=_untold)
    pod_age_s: Floats = field(default_factory=_untold)
    kv_usage: Floats = field(default_factory=_untold)
    context_tokens: Floats = field(default_factory=_untold)
    window_s: float = 60.0

    def __post_init__(self) -> None:
        rows = np.size(self.ends_s)
        for name in self._columns():
            values = np.asarray(getattr(self, name), dtype=np.float64)
            if values.ndim > 1 or (values.ndim and values.size != rows):
                raise ValueError(f"{name}: shape {values.shape}; must be ({rows},) as ends_s")
            values = np.array(np.broadcast_to(values, (rows,)))
            if np.isinf(values).any() or (values < 0).any():
                raise ValueError(f"{name}: negative or infinite; drop such rows, or say NaN")
            values.flags.writeable = False
            object.__setattr__(self, name, values)
        if not self.window_s > 0:
            raise ValueError(f"window_s: {self.window_s}; a window has a length")

    @classmethod
    def of_requests(
        cls,
        *,
        ends_s: Floats,
        latency_s: Floats,
        requests_per_s: Floats,
        requests: Floats,
        waiting_share: Floats | None = None,
        pod_age_s: Floats | None = None,
    ) -> Self:
        """Windows of plain HTTP or Triton, where a request takes the place of an output token.

        Args:
            ends_s: End of each window, seconds since the epoch.
            latency_s: Mean time in the server, queue left out [s].
            requests_per_s: Served per second.
            requests: Served in the window.
            waiting_share: Share of the window in which requests waited.
            pod_age_s: At the window's end [s].
        """
        return cls(
            ends_s=ends_s,
            itl_s=latency_s,
            output_tokens_per_s=requests_per_s,
            input_tokens_per_s=np.array(0.0),
            work=requests,
            requests=requests,
            waiting_share=_untold() if waiting_share is None else waiting_share,
            pod_age_s=_untold() if pod_age_s is None else pod_age_s,
        )

    @classmethod
    def of_prefill(
        cls,
        *,
        ends_s: Floats,
        batch_s: Floats,
        input_tokens_per_s: Floats,
        batches: Floats,
        waiting_share: Floats | None = None,
        pod_age_s: Floats | None = None,
    ) -> Self:
        """Windows of a pool that only prefills; a batch's time takes the place of ITL.

        Args:
            ends_s: End of each window, seconds since the epoch.
            batch_s: Mean time of a prefill batch [s].
            input_tokens_per_s: Prefilled per second, without cache hits.
            batches: In the window.
            waiting_share: Share of the window in which requests waited.
            pod_age_s: At the window's end [s].
        """
        return cls(
            ends_s=ends_s,
            itl_s=batch_s,
            output_tokens_per_s=np.array(0.0),
            input_tokens_per_s=input_tokens_per_s,
            work=batches,
            waiting_share=_untold() if waiting_share is None else waiting_share,
            pod_age_s=_untold() if pod_age_s is None else pod_age_s,
        )

    @classmethod
    def _columns(cls) -> list[str]:
        return [column.name for column in fields(cls) if column.name != "window_s"]

    def __len__(self) -> int:
        return int(self.ends_s.size)

    @property
    def rates(self) -> Floats:
        """Output and input tokens per second side by side, shape (n, 2)."""
        return np.column_stack((self.output_tokens_per_s, self.input_tokens_per_s))

    def where(self, mask: Mask | NDArray[np.intp]) -> Self:
        """The rows that a mask, shape (n,), or their places choose."""
        columns = {name: getattr(self, name)[mask] for name in self._columns()}
        return type(self)(window_s=self.window_s, **columns)

    def with_latency(self, itl_s: Floats) -> Self:
        """The same rows with another latency, shape (n,) [s]."""
        return replace(self, itl_s=itl_s)

    def within(self, *, now_s: float, keep_s: float) -> Mask:
        """Which rows ended within `keep_s` before `now_s`, shape (n,); none from the future."""
        age_s = now_s - self.ends_s
        return (age_s >= 0) & (age_s <= keep_s)

    @property
    def queued(self) -> Mask:
        """Where requests waited all the window, shape (n,): the engine was saturated."""
        return self.waiting_share >= 1

    @property
    def cold(self) -> Mask:
        """Where the pod had started only just before, shape (n,)."""
        return self.pod_age_s < WARM_AFTER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """How many windows a fit did not use; each counts under the first reason that holds.

    Args:
        old: Beyond `KEEP_S`, or from after the instant of the fit.
        unknown: A fitted column is missing, as after 0/0 in an idle minute.
        idle: Less than `LEAST_WORK`.
        cold: A pod younger than `WARM_AFTER_S`.
        preempted: The cache overflowed.
        queued: Requests waited all the window.
    """

    old: int = 0
    unknown: int = 0
    idle: int = 0
    cold: int = 0
    preempted: int = 0
    queued: int = 0


def usable(
    windows: Windows, *, now_s: float, keep_s: float = KEEP_S, least_work: float = LEAST_WORK
) -> tuple[Windows, LeftOut]:
    """The windows that a law may be fitted to, and why the others are not among them."""
    fitted = np.column_stack((windows.itl_s, windows.rates, windows.work, windows.ends_s))
    reasons = {
        "old": ~windows.within(now_s=now_s, keep_s=keep_s),
        # A latency of 0 is no measurement either.
        "unknown": np.isnan(fitted).any(axis=1) | (windows.itl_s == 0),
        "idle": windows.work < least_work,
        "cold": windows.cold,
        "preempted": windows.preemptions > 0,
        "queued": windows.queued,
    }
    keep = np.ones(len(windows), dtype=np.bool_)
    counts = {}
    for reason, holds in reasons.items():
        counts[reason] = int((keep & holds).sum())
        keep &= ~holds
    return windows.where(keep), LeftOut(**counts)
