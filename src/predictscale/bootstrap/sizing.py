"""Where learning a capacity meets the source, the fit workers and the cache."""

from typing import cast

from predictscale.config.presets import Presets
from predictscale.config.priors import FigureName, load_priors, prior_figure
from predictscale.config.promql import parse_selector
from predictscale.config.settings import WorkloadSettings
from predictscale.control.learning import CapacityLearner, Lesson, Pupil, taught_by
from predictscale.control.learnshelf import LearnShelf
from predictscale.control.podwindows import Asked, PodReader
from predictscale.control.refit import FitPool
from predictscale.core.lawfit import INPUT_COST
from predictscale.core.lawtaught import Taught
from predictscale.sources.base import EachSource, Source
from predictscale.sources.history import History


class PoolTeacher:
    """`control.learning.Teach` by worker processes.

    Args:
        pool: Whose workers; lessons wait for their turn among slow fits.
    """

    def __init__(self, pool: FitPool) -> None:
        self._pool = pool

    async def __call__(self, lesson: Lesson) -> Taught:
        """See `Teach`."""
        return await self._pool.run(taught_by, lesson)


def learner_of(
    workload: WorkloadSettings, presets: Presets, *, source: Source, fits: FitPool, history: History
) -> CapacityLearner | None:
    """Who learns a workload's capacity; None if its owner states it.

    Args:
        workload: Whose; with `backend: auto`, after its backend was found.
        presets: As the service knows them.
        source: Where its metrics are read, itself and not a cache of it; one without `read_each`, as a
            replay, leaves the settings' capacity in force, and a note says so.
        fits: The workers.
        history: The cache.
    """
    learned = workload.learned
    preset = None if workload.backend is None else presets.get(workload.backend)
    if learned is None:
        return None
    reader = None
    if preset is not None and preset.windows is not None and hasattr(source, "read_each"):
        namespace = parse_selector(
            "", workload.workload.namespace, where="namespace", label=preset.confined_by
        )
        asked = Asked(windows=preset.windows, selector=workload.selector, namespace=namespace)
        reader = PodReader(cast("EachSource", source), asked)
    cost = prior_figure(
        load_priors(),
        FigureName.INPUT_COST,
        engine=learned.engine_name,
        model=learned.model,
        accelerator=learned.accelerator,
    )
    pupil = Pupil(
        workload=workload.workload,
        key=f"{workload.workload}#{workload.backend}#{workload.selector}#{learned.targets}",
        law=learned.law,
        slo=learned.targets,
        engine=learned.engine,
        input_cost=INPUT_COST if cost is None else cost.value,
        counts_tokens=learned.telling.counts_tokens,
    )
    return CapacityLearner(pupil, reader=reader, teach=PoolTeacher(fits), shelf=LearnShelf(history))
