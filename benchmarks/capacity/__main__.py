"""What a replica can do, judged by a simulated engine: the learned law beside two simpler rules.

Everybody learns from the same half day in which the pod is at most 35 % full. What a replica really
does within the promises is found by trying (`simulate.engine.capacity`), on other requests,
and nobody is shown it. Refuses to choose anything on what is scored: no parameter is fitted here.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from benchmarks.capacity.past import half_day
from benchmarks.common import write_report

from predictscale.core.law import LatencyTargets
from predictscale.core.law import Mix as MeanRequest
from predictscale.core.lawcapacity import Engine
from predictscale.core.lawtaught import FirstTokens, PodRows, teach
from predictscale.core.lawwindows import Windows, usable
from predictscale.simulate.engine.capacity import TrueCapacity, true_capacity
from predictscale.simulate.engine.fleet import ORIGIN
from predictscale.simulate.engine.spec import EngineSpec
from predictscale.simulate.engine.traffic import CHAT, GENERATION, RAG, Mix

SLO = LatencyTargets(itl_s=0.05, ttft_p95_s=1.0)
FULLEST = 0.35
TRUTH_SEED = 1000
SETTINGS = {False: {"hours": 12.0, "truth_s": 7200.0}, True: {"hours": 6.0, "truth_s": 1800.0}}
MIXES = {
    "chat 512/256": Mix.only(CHAT),
    "generation 200/800": Mix.only(GENERATION),
    "RAG 3000/200": Mix.only(RAG),
    "half chat, 30 % generation, 20 % RAG": Mix(((CHAT, 0.5), (GENERATION, 0.3), (RAG, 0.2))),
}
CASES = [(name, name) for name in list(MIXES)[:3]] + [("chat 512/256", name) for name in list(MIXES)[1:]]
"""What is learned from, and what is asked for."""
GOALS = {True: 0.10, False: 0.15}
"""How far off a mix that was learned from may be, and one that never came."""
TOLD = Engine(kv_tokens=EngineSpec().kv_tokens)
"""What vLLM and SGLang say of a replica's cache."""
RULES = ("ours", "highest seen", "concurrency")


def mean_request(mix: Mix) -> MeanRequest:
    """The mean request of a mix, as its owner would know it."""
    return MeanRequest(
        input_tokens=sum(share * kind.input_tokens for kind, share in mix.parts),
        output_tokens=sum(share * kind.output_tokens for kind, share in mix.parts),
    )


def ours(rows: PodRows, first_tokens: FirstTokens, asked: MeanRequest) -> float | None:
    """Requests per second at the boundary that the learned law tells; None without a law."""
    at = ORIGIN.fromtimestamp(float(rows.windows.ends_s.max()), ORIGIN.tzinfo)
    fit = teach(rows, at=at, slo=SLO, engine=TOLD, first_tokens=first_tokens).learned.fit
    if fit is None:
        return None
    law = fit.law.at(asked)
    boundary = law.boundary(SLO, asked)
    return law.output_per_replica(boundary.utilization, asked) / asked.output_tokens


def highest_seen(windows: Windows, asked: MeanRequest) -> float:
    """The most output tokens per second of a minute in which both promises held, as requests."""
    met = (windows.itl_s <= SLO.itl_s) & ~(windows.ttft_p95_s > (SLO.ttft_p95_s or np.inf))
    return float(windows.output_tokens_per_s[met].max()) / asked.output_tokens


def concurrency(windows: Windows, asked: MeanRequest) -> float:
    """A line of ITL against running requests, to the ITL that is promised; Little's law makes it requests."""
    slope_s, empty_s = np.polyfit(windows.running, windows.itl_s, 1)
    return float((SLO.itl_s - empty_s) / slope_s) / (asked.output_tokens * SLO.itl_s)


def judged(
    learned: str, asked: str, pasts: Sequence[tuple[PodRows, FirstTokens]], truth: TrueCapacity
) -> dict[str, Any]:
    """Shares of the truth by rule, one for each past."""
    request = mean_request(MIXES[asked])
    shares: dict[str, list[float | None]] = {rule: [] for rule in RULES}
    for rows, first_tokens in pasts:
        kept, _ = usable(rows.windows, now_s=float(rows.windows.ends_s.max()))
        found = ours(rows, first_tokens, request), highest_seen(kept, request), concurrency(kept, request)
        for rule, rps in zip(RULES, found, strict=True):
            shares[rule].append(None if rps is None else rps / truth.rps)
    known = [share for share in shares["ours"] if share is not None]
    goal = GOALS[learned == asked]
    return {
        "learned_from": learned,
        "asked_for": asked,
        "true_rps": truth.rps,
        "binds": truth.binds,
        "shares": shares,
        "goal": goal,
        "met_on_average": len(known) == len(pasts) and abs(fmean(known) - 1) <= goal,
        "met_each_time": len(known) == len(pasts) and max(abs(share - 1) for share in known) <= goal,
    }


def table(results: Sequence[dict[str, Any]]) -> str:
    """The results for people: mean, least and most over the pasts."""

    def cell(shares: Sequence[float | None]) -> str:
        known = [share for share in shares if share is not None]
        if len(known) < len(shares):
            return "no law"
        return f"{fmean(known):.0%} ({min(known):.0%} to {max(known):.0%})"

    lines = [f"{'learned from':22}{'asked for':40}{'true':>10}" + "".join(f"{rule:>24}" for rule in RULES)]
    for row in results:
        cells = "".join(f"{cell(row['shares'][rule]):>24}" for rule in RULES)
        met = "" if row["met_each_time"] else f"   beyond {row['goal']:.0%}"
        true = f"{row['true_rps']:.2f} rps"
        lines.append(f"{row['learned_from']:22}{row['asked_for']:40}{true:>10}{cells}{met}")
    return "\n".join(lines)


def main(words: Sequence[str]) -> None:
    """Run it, print the table and write the report."""
    parser = argparse.ArgumentParser(prog="benchmarks.capacity", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one half as long a past for each mix")
    parser.add_argument("--seeds", type=int, default=5, help="pasts for each mix")
    parser.add_argument("--out", type=Path, help="write JSON here")
    given = parser.parse_args(words)
    hours, truth_s = SETTINGS[given.quick]["hours"], SETTINGS[given.quick]["truth_s"]
    seeds = 1 if given.quick else given.seeds
    truths = {}
    for name, mix in MIXES.items():
        truths[name] = true_capacity(
            mix, itl_slo_s=SLO.itl_s, ttft_slo_s=SLO.ttft_p95_s or 0.0, run_s=truth_s, seed=TRUTH_SEED
        )
    pasts = {
        name: [
            half_day(MIXES[name], top_rps=FULLEST * truths[name].rps, hours=hours, seed=seed)
            for seed in range(1, seeds + 1)
        ]
        for name in dict.fromkeys(learned for learned, _ in CASES)
    }
    results = [judged(learned, asked, pasts[learned], truths[asked]) for learned, asked in CASES]
    print(table(results))
    if given.out is not None:
        settings = {
            "itl_s": SLO.itl_s, "ttft_p95_s": SLO.ttft_p95_s, "fullest": FULLEST,
            "hours": hours, "truth_s": truth_s, "pasts": seeds,
        }  # fmt: skip
        write_report(given.out, benchmark="capacity", settings=settings, results=results, packages=("numpy",))


if __name__ == "__main__":
    main(sys.argv[1:])
