"""`predictscale render --warm-nodes`: as many nodes as the owner says, or a running service forecasts.

Refuses to count what the service does not know: a fleet that cannot be seen is not an empty one.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from predictscale.cli.figures import figure
from predictscale.cli.remote import get
from predictscale.config.durations import duration_text
from predictscale.config.warmnodes import Kind, Sized, WarmNodes, read_warm_nodes, render_warm_nodes
from predictscale.core.capacity import CapacityModel
from predictscale.core.forecast import Forecast
from predictscale.core.warmth import surge
from predictscale.errors import ForecastTooShort, Problem, SettingsError


def warm_nodes(kind: Kind, namespace: str, name: str, said: Mapping[str, str], *, url: str) -> str:
    """YAML of the nodes that stand ready; the service at `url` is asked only if no number was given.

    Raises:
        SettingsError: What was said is wrong, or the service does not know enough.
    """
    asked = read_warm_nodes(namespace, name, said)
    sized = asked.stated()
    if sized is None:
        workload = f"{namespace}/{name}"
        sized = expected(asked, decision=get(url, workload, "decision"), told=get(url, workload, "forecast"))
    return render_warm_nodes(asked, kind, sized)


def expected(asked: WarmNodes, *, decision: Mapping[str, Any], told: Mapping[str, Any]) -> Sized:
    """The nodes for what may come while a new node starts.

    Args:
        asked: With the time that a node takes.
        decision: What REST answers under `.../decision`.
        told: What REST answers under `.../forecast`.

    Raises:
        SettingsError: The service does not know what a replica serves or how many are here, or its
            forecast does not reach so far.
    """
    policy = decision["policy"]
    each, here = policy["capacity_per_replica"], decision["current_replicas"]
    instead = "wait until it is, or give a number as nodes= or replicas="
    problems = []
    if each is None:
        problems.append(Problem("capacity_per_replica", "is not known to the service yet", instead))
    if here is None:
        problems.append(Problem("current_replicas", "is not known to the service", instead))
    if asked.wake_s is None:
        problems.append(Problem("wake", "is missing", "give it, such as 4m"))
    if each is None or here is None or asked.wake_s is None:
        raise SettingsError(problems)
    forecast = _forecast(told)
    try:
        more = surge(
            forecast,
            now=forecast.origin + timedelta(seconds=told["age_s"]),
            wake_s=asked.wake_s,
            size=CapacityModel(each).replicas_for,
            level=policy["quantile"] if asked.level is None else asked.level,
            here=here,
            most=policy["max_replicas"],
            unit=told["unit"],
        )
    except ForecastTooShort as short:
        reach = f"the forecast of {told['origin']} reaches {duration_text(short.have_s)}"
        wants = f"{reach}, and {duration_text(round(told['age_s']))} of it are over"
        raise SettingsError([Problem("wake", duration_text(asked.wake_s), wants)]) from short
    return asked.holding(
        more.replicas,
        f"{more.because}.",
        f"Forecast by {told['model']} of {told['origin']}; the decision of {decision['decided_at']} "
        f"is {decision['health']}. Render it anew when it has changed.",
        f"A replica serves {figure(each)} {told['unit']} ({policy['capacity']['origin']}).",
    )


def _forecast(told: Mapping[str, Any]) -> Forecast:
    peaks = told["peaks"]
    return Forecast(
        datetime.fromisoformat(told["origin"]),
        told["step_s"],
        tuple(told["levels"]),
        np.array(told["values"], dtype=float),
        told["model"],
        peaks=None if peaks is None else np.array(peaks, dtype=float),
    )
