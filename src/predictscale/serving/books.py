"""The routes that tell what stands behind a workload's forecasts: models, accuracy, data, demand, floors."""

from fastapi import APIRouter

from predictscale.serving.accuracy import add_accuracy
from predictscale.serving.demand import add_demand
from predictscale.serving.floors import add_floors
from predictscale.serving.models import add_models
from predictscale.serving.quality import add_quality
from predictscale.serving.readers import Latest, Now, Readers
from predictscale.serving.then import Then


def add_books(one: APIRouter, readers: Readers, latest: Latest, then: Then, *, now: Now) -> None:
    """All of them.

    Args:
        one: The router of one workload.
        readers: Who shows its data and models.
        latest: Its newest decision.
        then: Who tells past ones.
        now: The present instant, for ages.
    """
    add_models(one, readers, latest)
    add_accuracy(one, latest, then)
    add_quality(one, readers, latest, now)
    add_floors(one, latest, now, then)
    add_demand(one, readers, latest)
