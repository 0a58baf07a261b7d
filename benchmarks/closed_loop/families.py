"""Who competes, and who chooses among whose settings in honest operation.

A family is settings and their plans; to enter another one, add it here. Refuses to give one
family knowledge that others lack: all get the same scene.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from benchmarks.closed_loop import ours, prophet_rival
from benchmarks.closed_loop.field import Family
from benchmarks.closed_loop.traces import Case

from predictscale.simulate.rivals import Ints, Knobs, Rival, Scene
from predictscale.simulate.roster import RIVALS

OURS: Final = "predictscale"
PROPHET: Final = "prophet"

UNIONS: Final[dict[str, tuple[str, ...]]] = {OURS: (OURS, "tuned-reactive", "cron")}
"""Whose honest run chooses among the settings of several families; the first of the first serves first.

A fixed fleet is not among them: on a training part with bursts it was the only one that had met the
aim, and cost four times what the others did for as much lateness.
"""

CAREFUL: Final = ("static", "stock-reactive", "tuned-reactive")
"""Those that do not predict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a run gives to families that compute for long.

    Args:
        cache: Where forecasts are kept between runs, if anywhere.
        prophet: Whether Prophet takes part.
    """

    cache: Path | None
    prophet: bool = False


Maker = Callable[[Case, Scene, Means], Family]


def compete(
    case: Case, lead_time_s: float, means: Means, *, only: Sequence[str] | None = None
) -> list[Family]:
    """All families on one trace at one cold start."""
    scene = case.scene(lead_time_s)
    makers: dict[str, Maker] = {
        **{name: _of_rival(rival) for name, rival in RIVALS.items()},
        OURS: _ours,
        **({PROPHET: _prophet} if means.prophet else {}),
    }
    chosen = makers if only is None else {name: makers[name] for name in only}
    return [make(case, scene, means) for make in chosen.values()]


def names(*, prophet: bool) -> list[str]:
    """All that could compete."""
    return [*RIVALS, OURS, *([PROPHET] if prophet else [])]


def family(name: str, knobs: Sequence[Knobs], desired: Ints) -> Family:
    """Settings as they are told in a report."""
    return Family(name=name, labels=tuple(f"{name} {_told(each)}" for each in knobs), desired=desired)


def _told(knobs: Knobs) -> str:
    return " ".join(f"{knob}={value:g}" for knob, value in knobs.items())


def _of_rival(rival: Rival) -> Maker:
    def make(_case: Case, scene: Scene, _means: Means) -> Family:
        return family(rival.name, rival.knobs, rival.sweep(scene))

    return make


def _ours(case: Case, scene: Scene, means: Means) -> Family:
    labels, plans = [], []
    for engine in (ours.NATIVE, ours.TREES):
        made = ours.peaks(case, engine, cache=means.cache)
        plans.append(ours.desired(scene, made, ours.SETTINGS))
        labels += [f"{OURS} {engine.name} {_told(knobs)}" for knobs in ours.SETTINGS]
    return Family(name=OURS, labels=tuple(labels), desired=np.concatenate(plans))


def _prophet(case: Case, scene: Scene, means: Means) -> Family:
    expected = prophet_rival.expected(case, cache=means.cache)
    return family(
        PROPHET, prophet_rival.SETTINGS, prophet_rival.desired(scene, expected, prophet_rival.SETTINGS)
    )
