"""Who competes, and who chooses among whose settings in honest operation.

A family is settings and their plans; to enter another one, add it here. Refuses to give one
family knowledge that others lack: all get the same scene.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.closed_loop import ours, prophet_rival
from benchmarks.closed_loop.field import Family
from benchmarks.closed_loop.traces import Case

from predictscale.simulate.rivals import Ints, Knobs, Rival, Scene
from predictscale.simulate.roster import RIVALS

OURS: Final = "predictscale"
TREES: Final = "predictscale-trees"
PROPHET: Final = "prophet"

UNIONS: Final[dict[str, tuple[str, ...]]] = {OURS: (OURS, TREES, "tuned-reactive", "cron")}
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
        TREES: _trees,
        **({PROPHET: _prophet} if means.prophet else {}),
    }
    chosen = makers if only is None else {name: makers[name] for name in only}
    return [make(case, scene, means) for make in chosen.values()]


def names(*, prophet: bool) -> list[str]:
    """All that could compete."""
    return [*RIVALS, OURS, TREES, *([PROPHET] if prophet else [])]


def family(name: str, knobs: Sequence[Knobs], desired: Ints) -> Family:
    """Settings as they are told in a report."""
    labels = tuple(" ".join(f"{knob}={value:g}" for knob, value in each.items()) for each in knobs)
    return Family(name=name, labels=tuple(f"{name} {label}" for label in labels), desired=desired)


def _of_rival(rival: Rival) -> Maker:
    def make(_case: Case, scene: Scene, _means: Means) -> Family:
        return family(rival.name, rival.knobs, rival.sweep(scene))

    return make


def _ours(case: Case, scene: Scene, means: Means) -> Family:
    made = ours.peaks(case, ours.NATIVE, cache=means.cache)
    return family(OURS, ours.SETTINGS, ours.desired(scene, made, ours.SETTINGS))


def _trees(case: Case, scene: Scene, means: Means) -> Family:
    made = ours.peaks(case, ours.TREES, cache=means.cache)
    return family(TREES, ours.SETTINGS, ours.desired(scene, made, ours.SETTINGS))


def _prophet(case: Case, scene: Scene, means: Means) -> Family:
    expected = prophet_rival.expected(case, cache=means.cache)
    return family(
        PROPHET, prophet_rival.SETTINGS, prophet_rival.desired(scene, expected, prophet_rival.SETTINGS)
    )
