"""Windows of pods that obey a stated law, with stated noise: the truth that a fit must find."""

from dataclasses import fields, replace
from typing import Any

import numpy as np

from predictscale.core.law import Law, Mix, TtftLine
from predictscale.core.lawwindows import Windows
from predictscale.core.series import Floats

NOW_S = 1_772_000_000.0
"""An instant on the grid of minutes."""

COLUMNS = [column.name for column in fields(Windows) if column.name != "window_s"]

TRUE = Law(
    alpha_s=0.012,
    beta_s=2.2e-4,
    gamma_s=0.8e-4,
    ttft=TtftLine(base_s=3.3 * 0.8e-4, slope_s=1.8 * 0.8e-4),
)
CHAT = Mix(input_tokens=512, output_tokens=256)
GENERATION = Mix(input_tokens=200, output_tokens=800)
RAG = Mix(input_tokens=3000, output_tokens=200)


def drawn(
    *,
    law: Law = TRUE,
    mix: Mix = CHAT,
    rows: int = 300,
    top: float = 0.35,
    least: float = 0.03,
    noise: float = 0.03,
    mix_spread: float = 0.0,
    seed: int = 0,
    newest_age_s: float = 0.0,
) -> Windows:
    """One pod's last minutes under loads drawn evenly up to `top`.

    Args:
        law: What the pod obeys, with a TTFT line.
        mix: Its mean request.
        rows: How many minutes.
        top: The highest utilisation.
        least: The lowest.
        noise: Standard deviation of log ITL.
        mix_spread: Standard deviation of the log of input over output, from minute to minute.
        seed: Of the draws.
        newest_age_s: How long ago the newest minute ended [s].
    """
    draw = np.random.default_rng(seed)
    loads = draw.uniform(least, top, rows)
    ratio = mix.uncached_tokens / mix.output_tokens * np.exp(mix_spread * draw.standard_normal(rows))
    output = loads / (law.beta_s + law.gamma_s * ratio)
    itl_s = law.alpha_s / (1 - loads) * np.exp(noise * draw.standard_normal(rows))
    requests = output * 60 / mix.output_tokens
    assert law.ttft is not None
    stretch = loads / (1 - loads)
    per_token_s = law.ttft.base_s + law.ttft.slope_s * stretch
    ttft_s = ratio * mix.output_tokens * per_token_s * np.exp(noise * draw.standard_normal(rows))
    return Windows(
        ends_s=minutes(rows, newest_age_s=newest_age_s),
        itl_s=itl_s,
        output_tokens_per_s=output,
        input_tokens_per_s=output * ratio,
        work=output * 60,
        requests=requests,
        running=output * itl_s,
        ttft_p95_s=ttft_s,
        waiting_share=np.zeros(rows),
        preemptions=np.zeros(rows),
        pod_age_s=np.full(rows, 7200.0),
        kv_usage=np.full(rows, 0.3),
    )


def full(*, rows: int, output: float, itl_s: float = 0.08, mix: Mix = CHAT) -> Windows:
    """Minutes in which requests waited all the time and ITL was over any target."""
    return Windows(
        ends_s=minutes(rows),
        itl_s=np.full(rows, itl_s),
        output_tokens_per_s=np.full(rows, output),
        input_tokens_per_s=np.full(rows, output * mix.uncached_tokens / mix.output_tokens),
        work=np.full(rows, output * 60),
        waiting_share=np.ones(rows),
        pod_age_s=np.full(rows, 7200.0),
    )


def joined(*parts: Windows) -> Windows:
    """The rows of several, one after the other."""

    def column(name: str) -> Floats:
        return np.concatenate([getattr(part, name) for part in parts])

    return with_columns(parts[0], {name: column(name) for name in COLUMNS})


def with_columns(windows: Windows, columns: dict[str, Floats]) -> Windows:
    """The same windows with other columns, all of them if the number of rows differs."""
    told: dict[str, Any] = dict(columns)
    return replace(windows, **told)


def minutes(rows: int, *, newest_age_s: float = 0.0) -> Floats:
    """Ends of as many windows, newest first."""
    return np.asarray(NOW_S - newest_age_s - 60.0 * np.arange(rows), dtype=np.float64)
