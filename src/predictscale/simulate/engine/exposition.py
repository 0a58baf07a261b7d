"""A fleet as Prometheus sees it: its pods' own metrics, and those of kube-state-metrics.

All pods are told in one text, with the labels `namespace` and `pod` that a scrape by pod would
have added, so that one target with `honor_labels` stands for a fleet whose pods come and go.
"""

from collections.abc import Mapping
from typing import Literal

from predictscale.simulate.engine import kubernetes, sglang, vllm
from predictscale.simulate.engine.families import Families
from predictscale.simulate.engine.fleet import Fleet
from predictscale.simulate.engine.pods import Pod

EngineName = Literal["vllm", "sglang"]
NamesOf = Literal["old", "new", "both"]
"""Names of metrics that were renamed: only the old, only the new, or both from one server."""


def exposition(
    fleet: Fleet,
    *,
    engine: EngineName = "vllm",
    names: NamesOf | Mapping[int, NamesOf] = "new",
    pod: str | None = None,
) -> str:
    """The metrics of every pod whose server answers, as text.

    Args:
        fleet: Which fleet, as it is now.
        engine: Whose metrics it shows.
        names: Which names; a mapping says it for each revision of a fleet that is rolled.
        pod: Tell of this one only, and as it would itself, without `namespace` and `pod`.

    Raises:
        ValueError: There is no such pod, or its server does not answer yet.
    """
    with fleet.lock:
        return pod_families(fleet, engine=engine, names=names, pod=pod).text()


def kube_exposition(fleet: Fleet) -> str:
    """What kube-state-metrics would say of the fleet as it is now, as text."""
    families = Families()
    with fleet.lock:
        kubernetes.tell(families, fleet)
    return families.text()


def pod_families(
    fleet: Fleet, *, engine: EngineName, names: NamesOf | Mapping[int, NamesOf], pod: str | None = None
) -> Families:
    """As `exposition`, before it is text."""
    families = Families()
    answering = [each for each in fleet.pods if each.booted(fleet.now_s) and pod in (None, each.name)]
    if pod is not None and not answering:
        raise ValueError(f"pod: {pod}; no such pod answers")
    for each in answering:
        where = {} if pod is not None else {"namespace": fleet.names.namespace, "pod": each.name}
        said = names if isinstance(names, str) else names[each.revision]
        _tell(families, fleet, each, engine=engine, said=said, where=where)
    return families


def _tell(
    families: Families, fleet: Fleet, pod: Pod, *, engine: EngineName, said: NamesOf, where: dict[str, str]
) -> None:
    old, new = said in ("old", "both"), said in ("new", "both")
    model, birth = fleet.names.model, pod.birth
    if engine == "sglang":
        sglang.tell(
            families,
            pod.engines,
            model=model,
            where=where,
            new=new,
            now_s=fleet.now_s,
            up_since_s=birth.ready_s,
            load_s=birth.ready_s - birth.started_s,
        )
        return
    for rank, each in enumerate(pod.engines):
        vllm.tell(families, each, rank=rank, model=model, where=where, old=old, new=new)
