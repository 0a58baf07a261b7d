import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from predictscale.config.cluster import KUBERNETES, ClusterPreset, Place, PodFact, load_cluster
from predictscale.config.promql import unconfined
from predictscale.core.leadtime import GIVE_UP_S
from predictscale.errors import FileUnusable, SettingsError

CLUSTER = load_cluster()
CHAT = Place(namespace="own", deployment="chat")

SIGNAL: dict[str, Any] = {"query": "count(a{$pods})", "unit": "pods", "meaning": "gauge"}
SOUND: dict[str, Any] = {
    "name": "thing",
    "title": "A thing",
    "source": "made up for a test",
    "signals": {"waiting": SIGNAL},
}


def written(folder: Path, preset: object, *, name: str = "thing") -> Path:
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(preset))
    return folder


def with_signal(**changes: object) -> dict[str, Any]:
    return {**SOUND, "signals": {"waiting": {**SIGNAL, **changes}}}


@pytest.mark.parametrize("preset", CLUSTER.values(), ids=list(CLUSTER))
def test_only_what_is_said_to_belong_to_no_namespace_is_read_beyond_it(preset: ClusterPreset) -> None:
    for name, signal in preset.signals.items():
        query = preset.query(name, CHAT, window_s=60)
        beyond = {re.split(r"[{ ]", selector)[0] for selector in unconfined(query, "own")}
        assert beyond == set(signal.cluster_wide)
        # What stays of a placeholder; label_replace has a $1 of its own.
        assert "$" not in query.replace('"$1"', "")


def test_every_fact_of_pods_is_told_by_kubernetes() -> None:
    assert set(PodFact) <= CLUSTER[KUBERNETES].signals.keys()


def test_pods_are_told_for_as_long_as_a_start_can_go_on() -> None:
    query = CLUSTER[KUBERNETES].query(PodFact.READY, CHAT, window_s=120)
    assert f"> time() - {GIVE_UP_S + 120:g}" in query
    assert "[2m]" in query


@pytest.mark.parametrize(
    ("deployment", "pods"),
    [
        ("chat", "chat-.*"),
        ("chat.v2", r"chat\\.v2-.*"),
        # Of longer names Kubernetes keeps so much in a pod's.
        ("a" * 63, "a" * 58 + ".*"),
    ],
)
def test_pods_are_chosen_by_as_much_of_the_name_as_they_keep(deployment: str, pods: str) -> None:
    query = CLUSTER[KUBERNETES].query(
        PodFact.SCHEDULED, Place(namespace="own", deployment=deployment), window_s=60
    )
    assert f'kube_pod_created{{namespace="own",pod=~"{pods}"}}' in query


def test_a_sound_preset_of_ones_own_is_loaded(tmp_path: Path) -> None:
    assert list(load_cluster(written(tmp_path, SOUND))) == ["thing"]


def test_matchers_of_nodes_are_filled_in(tmp_path: Path) -> None:
    signal = {"query": "count(n{$nodes})", "unit": "nodes", "cluster_wide": ["n"]}
    preset = load_cluster(written(tmp_path, with_signal(**signal)))["thing"]
    zone = Place(namespace="own", deployment="chat", nodes='zone="a"')
    assert preset.query("waiting", zone, window_s=60) == 'count(n{zone="a"})'


@pytest.mark.parametrize(
    ("preset", "complaint"),
    [
        (with_signal(query="count(a{$pods}"), "signals.waiting.query: is not PromQL"),
        (with_signal(query="count(a)"), "selects a unbound"),
        (with_signal(query="count(a{$pods}) + count(b)"), "selects b unbound"),
        (with_signal(query="count(a{$pods,$zone})"), r"placeholder 'zone'; known are \$namespace, \$pods"),
        (with_signal(query="a{$pods}[$window]"), "gives a range"),
        (with_signal(cluster_wide=["a"]), "cluster_wide: 'a'; must be asked for without a namespace"),
        (with_signal(cluster_wide=["a b"]), "cluster_wide"),
        (with_signal(unit="unix_s"), "'unix_s' of a signal that is gauge"),
        (with_signal(meaning="instant"), "'pods' of a signal that is instant"),
        (with_signal(meaning="arrival"), "meaning"),
        ({**SOUND, "signals": {}}, "signals"),
        ({**SOUND, "signals": {"Waiting": SIGNAL}}, "signals"),
        ({**SOUND, "singals": {}}, "did you mean 'signals'"),
        ({**SOUND, "name": "other"}, "must be the file's: 'thing'"),
        ([], "must be a mapping"),
    ],
)
def test_a_preset_that_would_fail_later_fails_when_it_is_loaded(
    tmp_path: Path, preset: object, complaint: str
) -> None:
    with pytest.raises(SettingsError, match=complaint):
        load_cluster(written(tmp_path, preset))


def test_kubernetes_without_a_fact_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"lack created, deleted, .*; must have all of them"):
        load_cluster(written(tmp_path, {**SOUND, "name": KUBERNETES}, name=KUBERNETES))


def test_a_folder_without_presets_is_an_incomplete_installation(tmp_path: Path) -> None:
    with pytest.raises(FileUnusable, match="holds no cluster presets"):
        load_cluster(tmp_path)
