"""The traces that models are judged on: real ones if they are at hand, else synthetic ones that say so.

Real traces may not be shipped with the project, so a folder of them is looked for. Only the
last 40 % of a trace is scored. Refuses short traces, where a season cannot be learnt, and
spot capacity, which is not demand.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.common import ROOT

from predictscale.core.series import MetricWindow
from predictscale.forecasters.evaluate import spaced_origins
from predictscale.sources.files import load_csv
from predictscale.sources.synthetic import chat_tokens, shop_requests

VARIABLE = "PREDICTSCALE_DATA"
BESIDE = ROOT.parent / "shared" / "data"
LEADS_S = (300.0, 600.0, 1800.0)
SCORED = 0.4
DEVELOPED = 0.5
_FINEST_S = 60.0
_LEAST_S = 3 * 86_400.0
_MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """One trace as it is judged.

    Args:
        name: The file's name without its ending.
        window: On its own grid, or on minutes if that is finer.
        leads_s: The leads that are whole steps of it [s].
        origins: Where models are asked, all in the scored part.
        synthetic: Whether it was never anybody's demand.
    """

    name: str
    window: MetricWindow
    leads_s: tuple[float, ...]
    origins: tuple[datetime, ...]
    synthetic: bool = False


def find(given: Path | None) -> tuple[Path | None, str]:
    """The folder of real traces, or None and why there is none."""
    if given is not None:
        return (given, "") if given.is_dir() else (None, f"--data: {given} is no folder")
    if named := os.environ.get(VARIABLE):
        return (Path(named), "") if Path(named).is_dir() else (None, f"{VARIABLE}: {named} is no folder")
    if BESIDE.is_dir():
        return BESIDE, ""
    return None, f"no --data, no {VARIABLE}, and no ../shared/data beside the checkout"


def names(folder: Path) -> list[str]:
    """The traces of a folder that are demand, sorted; how long they are is seen when they are read."""
    return sorted(file.stem for file in folder.glob("*.csv") if not file.name.startswith("spot_"))


def load(folder: Path | None, name: str, *, origins: int, development: bool = False) -> Trace | None:
    """One trace, or None if it is too short; without a folder a synthetic one.

    Args:
        folder: Where the files are.
        name: Which.
        origins: How many are asked for.
        development: End where the scored part begins, so that models can be chosen without sight
            of it; the last `DEVELOPED` of the rest is scored.
    """
    if folder is None:
        window = SYNTHETIC[name].values(_MONDAY, _MONDAY + timedelta(days=21), _FINEST_S)
    else:
        window = load_csv(folder / f"{name}.csv")
    if window.duration_s < _LEAST_S:
        return None
    window = window.resample(max(window.step_s, _FINEST_S))
    share = DEVELOPED if development else SCORED
    if development:
        learned = int(len(window) * (1 - SCORED))
        window = MetricWindow(window.start, window.step_s, window.values[:learned])
    leads_s = tuple(lead for lead in LEADS_S if (lead / window.step_s).is_integer())
    room = round(window.duration_s * share / window.step_s - max(leads_s) / window.step_s) - 1
    return Trace(
        name,
        window,
        leads_s,
        spaced_origins(window, min(origins, room), ahead_s=max(leads_s), share=share),
        synthetic=folder is None,
    )


SYNTHETIC = {"synthetic-chat": chat_tokens(seed=11), "synthetic-shop": shop_requests(seed=12)}


def spread_out(found: Sequence[str], count: int) -> list[str]:
    """`count` of the names, evenly over the list."""
    return [found[place * len(found) // count] for place in range(min(count, len(found)))]
