"""Trigger metadata: what KEDA sends, what a user may say, what nobody may learn from the answer."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictscale.config.metadata import KEDA_KEYS, KEYS, parse_trigger, pool_of
from predictscale.config.presets import load_presets
from predictscale.config.settings import ServiceSettings, WorkloadSettings
from predictscale.core.demand import SignalName, WorkloadId
from predictscale.core.plan import Landing, Mode, OnStale
from predictscale.core.slo import Slo
from predictscale.errors import SettingsError, TenancyError

PRESETS = load_presets()
INLINE = {"backend": "http", "capacityPerReplica": "80", "maxReplicas": "25"}
NAMED = {"namespace": "llm", "name": "chat", "backend": "vllm", "capacity_per_replica": 4, "max_replicas": 40}
SERVICE = ServiceSettings.model_validate({"workloads": [NAMED]})
OPEN = ServiceSettings.model_validate(
    {
        "prometheus": {"url": "http://own:9090"},
        "limits": {"allow_inline_queries": True, "allowed_prometheus": ["https://Thanos.example/api/"]},
    }
)


def parse(
    metadata: dict[str, str],
    *,
    service: ServiceSettings = SERVICE,
    namespace: str = "web",
    name: str = "shop",
) -> WorkloadSettings:
    return parse_trigger(namespace, name, metadata, service, PRESETS)


def problems(metadata: dict[str, str], **more: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        parse(metadata, **more)
    return [str(problem) for problem in caught.value.problems]


def test_three_keys_are_enough() -> None:
    shop = parse(INLINE)
    assert shop.workload == WorkloadId("web", "shop")
    assert (shop.capacity_per_replica, shop.max_replicas, shop.min_replicas) == (80, 25, 1)
    demand = shop.signals(PRESETS)[SignalName.DEMAND]
    assert demand.query == 'sum(rate(http_requests_total{namespace="web"}[2m]))'


def test_every_key_sets_its_field() -> None:
    shop = parse(
        {
            "query": "sum(rate(a[1m]))",
            "queueQuery": "sum(b)",
            "unit": "jobs/s",
            "target": "shop",
            "serverAddress": "https://thanos.example:443/api",
            "capacityPerReplica": "2.5",
            "leadTime": "4m",
            "sloMaxViolation": "0.5%",
            "sloWait": "20s",
            "sloWindow": "7d",
            "minReplicas": "0",
            "maxReplicas": "9",
            "warmReplicas": "1",
            "onStale": "unavailable",
            "staleAfter": "5m",
            "cooldownPeriod": "120",
            "landing": "overshoot",
            "mode": "shadow",
            "emptyIsZero": "true",
        },
        service=OPEN,
    )
    assert shop == WorkloadSettings(
        workload=WorkloadId("web", "shop"),
        query='sum(rate(a{namespace="web"}[1m]))',
        queue_query='sum(b{namespace="web"})',
        unit="jobs/s",
        target="shop",
        prometheus="https://thanos.example/api",
        capacity_per_replica=2.5,
        lead_time_s=240,
        level=0.995,
        slo=Slo(max_violation=0.005, wait_s=20, window_s=7 * 86400),
        min_replicas=0,
        max_replicas=9,
        warm_replicas=1,
        on_stale=OnStale.UNAVAILABLE,
        stale_after_s=300,
        cooldown_s=120,
        landing=Landing.OVERSHOOT,
        mode=Mode.SHADOW,
        empty_is_zero=True,
    )
    assert parse({**INLINE, "quantile": "0.9", "selector": 'job="x"'}).level == 0.9


def test_kedas_own_keys_are_not_read() -> None:
    theirs = dict.fromkeys(KEDA_KEYS, "x") | {"caCertFromEnv": "x"}
    assert parse({**INLINE, **theirs}) == parse(INLINE)


def test_a_key_may_come_from_the_environment() -> None:
    plain = parse({**INLINE, "leadTime": "4m"})
    assert (
        parse(
            {
                "backendFromEnv": "http",
                "capacityPerReplica": "80",
                "maxReplicas": "25",
                "leadTimeFromEnv": "4m",
            }
        )
        == plain
    )


def test_a_key_that_comes_twice_is_one_problem() -> None:
    for metadata in (
        {**INLINE, "leadTime": "4m", "leadTimeFromEnv": "5m"},
        {"leadTimeFromEnv": "5m", **INLINE, "leadTime": "4m"},
    ):
        (problem,) = problems(metadata)
        assert "is given as leadTime and as leadTimeFromEnv; give one of them" in problem


def test_a_misspelt_key_is_told_what_was_meant() -> None:
    assert problems({**INLINE, "leadtime": "4m"}) == [
        "scalerMetadata: 'leadtime' is not a known key; did you mean 'leadTime'?"
    ]
    assert "did you mean 'maxReplicas'?" in problems({**INLINE, "maxReplicaFromEnv": "4"})[0]
    assert "known are workload, pool, backend" in problems({**INLINE, "zzz": "4"})[0]


def test_all_problems_are_told_at_once_in_the_users_own_words() -> None:
    found = problems(
        {
            "backend": "htpp",
            "capacityPerReplica": "lots",
            "leadTime": "30",
            "minReplicas": "5",
            "maxReplicas": "4",
            "landing": "hold",
            "onStale": "shrug",
            "pool": "spot",
            "quantile": "0.9",
            "sloMaxViolation": "1%",
            "query": "sum(",
            "nonsense": "x",
        }
    )
    where = sorted(line.split(": ")[0].removeprefix("scalerMetadata.") for line in found)
    assert where == [
        "backend", "capacityPerReplica", "landing", "leadTime", "minReplicas", "onStale", "pool",
        "quantile", "query", "scalerMetadata",
    ]  # fmt: skip
    assert (
        "scalerMetadata.minReplicas: 5 is more than maxReplicas (4); a floor lies at or below the ceiling"
        in found
    )


def test_an_objective_without_its_share_lacks_it_by_the_name_that_users_write() -> None:
    (problem,) = problems({**INLINE, "sloWait": "2s"})
    assert problem.startswith("scalerMetadata.sloMaxViolation: is missing; must be given")


def test_a_hidden_objective_is_not_repeated() -> None:
    (problem,) = problems({**INLINE, "sloMaxViolationFromEnv": "12345%"})
    assert problem.startswith("scalerMetadata.sloMaxViolationFromEnv: ")
    assert "12345" not in problem


def test_required_keys_are_asked_for_by_the_names_that_users_write() -> None:
    found = problems({})
    assert [line.split(":")[0] for line in found] == [
        "scalerMetadata.maxReplicas",
        "scalerMetadata.backend",
        "scalerMetadata.capacityPerReplica",
    ]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("capacityPerReplica", "0"),
        ("capacityPerReplica", "nan"),
        ("capacityPerReplica", "inf"),
        ("capacityPerReplica", "-1"),
        ("maxReplicas", "0"),
        ("maxReplicas", "1e3"),
        ("maxReplicas", "ten"),
        ("minReplicas", "-1"),
        ("leadTime", "-4m"),
        ("leadTime", "nan"),
        ("leadTime", "1000d"),
        ("quantile", "1"),
        ("quantile", "95%"),
        ("sloMaxViolation", "0"),
        ("sloMaxViolation", "60%"),
        ("emptyIsZero", "perhaps"),
        ("target", "a b"),
        ("mode", "dead"),
    ],
)
def test_a_value_out_of_its_bounds_is_one_problem_at_its_key(key: str, value: str) -> None:
    (problem,) = problems({**INLINE, key: value})
    assert problem.startswith(f"scalerMetadata.{key}: ")


MARK = "hunter2-Zq"


@settings(deadline=None)
@given(
    key=st.sampled_from([*KEYS, "workload", "pool", "unknownKey"]),
    others=st.dictionaries(
        st.sampled_from(list(KEYS)), st.sampled_from(["0", "1", "50", "hold", "http", "sum("])
    ),
    secret=st.sampled_from(
        [MARK, f"{MARK}%", f'a="{MARK}', f"sum({MARK}[", f"http://u:{MARK}@host", f"{MARK}\n"]
    ),
    service=st.sampled_from([SERVICE, OPEN]),
)
def test_no_value_from_the_environment_is_ever_repeated(
    key: str, others: dict[str, str], secret: str, service: ServiceSettings
) -> None:
    metadata = {**{k: v for k, v in others.items() if k != key}, f"{key}FromEnv": secret}
    try:
        parse(metadata, service=service)
    except SettingsError as wrong:
        text = str(wrong)
    else:
        text = ""
    assert MARK not in text


@pytest.mark.parametrize(
    "secret", [f'namespace="{MARK}"', f'__name__="{MARK}"', f'a=~"({MARK}"', f"{MARK}=1", f'"{MARK}"="1"']
)
@pytest.mark.parametrize("key", ["selector", "query", "queueQuery"])
def test_no_part_of_a_query_or_selector_from_the_environment_is_repeated(key: str, secret: str) -> None:
    bounds = {"capacityPerReplica": "80", "maxReplicas": "25"}
    signals = {"selector": {"backend": "http"}, "query": {}, "queueQuery": {"query": "sum(up)"}}[key]
    text = secret if key == "selector" else f"up{{{secret}}}"
    found = problems({**bounds, **signals, f"{key}FromEnv": text}, service=OPEN)
    assert found
    assert MARK not in "".join(found)


def test_numbers_from_the_environment_are_hidden_also_where_they_disagree() -> None:
    found = problems({**INLINE, "maxReplicas": "7", "minReplicasFromEnv": "4242"})
    assert found[0].startswith(
        "scalerMetadata.minReplicasFromEnv: a value that is not repeated here is more than"
    )
    found = problems(
        {"backend": "http", "capacityPerReplica": "1", "maxReplicasFromEnv": "3131", "minReplicas": "9999"}
    )
    assert not any("3131" in line for line in found)


def test_queries_are_off_unless_the_service_allows_them() -> None:
    metadata = {"query": "sum(a)", "queueQuery": "b", "capacityPerReplica": "1", "maxReplicas": "2"}
    found = problems(metadata)
    assert [line.split(":")[0] for line in found] == ["scalerMetadata.query", "scalerMetadata.queueQuery"]
    assert "limits.allow_inline_queries is off" in found[0]
    assert parse(metadata, service=OPEN).query == 'sum(a{namespace="web"})'


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254",
        "http://own.evil:9090",
        "http://own",
        "https://thanos.example",
        "http://thanos.example/api",
    ],
)
def test_another_prometheus_is_off_unless_the_service_allows_that_very_address(address: str) -> None:
    (problem,) = problems({**INLINE, "serverAddress": address}, service=OPEN)
    assert "limits.allowed_prometheus does not hold it" in problem


@pytest.mark.parametrize("address", ["http://OWN:9090/", "https://thanos.example/api"])
def test_the_services_own_and_allowed_addresses_may_be_named(address: str) -> None:
    assert parse({**INLINE, "serverAddress": address}, service=OPEN).prometheus is not None


def test_a_query_or_selector_beyond_the_namespace_is_a_matter_of_tenancy() -> None:
    with pytest.raises(TenancyError):
        parse({**INLINE, "selector": 'namespace="llm"'})
    inline = {"query": 'up{namespace="llm"}', "capacityPerReplica": "1", "maxReplicas": "2"}
    with pytest.raises(TenancyError):
        parse(inline, service=OPEN)


def test_a_tenancy_problem_comes_with_all_others() -> None:
    with pytest.raises(TenancyError) as caught:
        parse({**INLINE, "selector": 'namespace="llm"', "leadTime": "30", "typo": "1"})
    assert len(caught.value.problems) == 3


def test_a_named_workload_is_the_service_files() -> None:
    chat = parse({"workload": "chat", "scalerAddress": "x:6000"}, namespace="llm", name="any")
    assert chat.workload == WorkloadId("llm", "chat")
    assert chat == SERVICE.named_workloads(PRESETS)[0]


def test_two_scaled_objects_that_name_one_workload_get_equal_settings() -> None:
    first, second = (parse({"workload": "chat"}, namespace="llm", name=name) for name in ("a", "b"))
    assert first == second


def test_another_namespaces_workload_and_one_that_is_nowhere_look_the_same() -> None:
    def answer(service: ServiceSettings) -> str:
        with pytest.raises(TenancyError) as caught:
            parse({"workload": "chat"}, namespace="web", service=service)
        return str(caught.value)

    assert answer(SERVICE) == answer(ServiceSettings())


def test_a_misspelt_workload_is_told_its_own_namespaces_names_only() -> None:
    with pytest.raises(TenancyError, match="did you mean 'chat'"):
        parse({"workload": "chatt"}, namespace="llm")
    with pytest.raises(TenancyError) as caught:
        parse({"workload": "chatt"}, namespace="web")
    assert "mean" not in str(caught.value)


def test_a_named_workload_is_described_in_one_place_only() -> None:
    (problem,) = problems({"workload": "chat", "mode": "shadow", "maxReplicas": "3"}, namespace="llm")
    assert "is given with mode, maxReplicas; leave them out, or leave workload out" in problem


POOLED = ServiceSettings.model_validate(
    {
        "workloads": [
            {
                **NAMED,
                "pools": [
                    {"name": "on-demand", "kind": "on-demand", "target": "chat"},
                    {"name": "spot", "kind": "spot", "target": "chat-spot"},
                ],
            }
        ]
    }
)


def test_a_trigger_that_names_a_workload_and_a_pool_gets_that_workload() -> None:
    for metadata in ({"pool": "spot"}, {"poolFromEnv": "on-demand"}):
        chat = parse({"workload": "chat", **metadata}, namespace="llm", service=POOLED)
        assert chat == POOLED.named_workloads(PRESETS)[0]
        assert pool_of(metadata) in {pool.name for pool in chat.pools}


def test_a_pool_is_refused_where_there_is_none_to_ask_for() -> None:
    (of_no_workload,) = problems({**INLINE, "pool": "spot"})
    assert of_no_workload.startswith("scalerMetadata.pool: is given without workload")
    (without_pools,) = problems({"workload": "chat", "pool": "spot"}, namespace="llm")
    assert "'spot' is asked of llm/chat, which has no pools" in without_pools
    named = {"namespace": "llm", "service": POOLED}
    (misspelt,) = problems({"workload": "chat", "pool": "spott"}, **named)
    assert "did you mean 'spot'?" in misspelt
    (silent,) = problems({"workload": "chat"}, **named)
    assert "scalerMetadata.pool: is missing; must be one of on-demand, spot" in silent
    (hidden,) = problems({"workload": "chat", "poolFromEnv": "secret"}, **named)
    assert "secret" not in hidden
    assert hidden.startswith("scalerMetadata.poolFromEnv")


def test_metadata_has_a_size() -> None:
    (problem,) = problems({**INLINE, "selector": "é" * 10_000})
    assert problem == "scalerMetadata: has 20052 bytes; must have 16384 or fewer"


def test_a_thousand_unknown_keys_are_eleven_problems() -> None:
    found = problems({**INLINE, **{f"k{i}": "" for i in range(1000)}})
    assert len(found) == 11
    assert "990 more keys are not known" in found[-1]


@pytest.mark.parametrize(
    ("namespace", "name"), [("", "a"), ("a", ""), ("A", "a"), ('a"}', "a"), ("a", "a/b"), ("a\n", "b")]
)
def test_what_is_no_kubernetes_name_is_refused(namespace: str, name: str) -> None:
    found = problems(INLINE, namespace=namespace, name=name)
    assert all("must be a Kubernetes name" in line for line in found)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.one_of(
            st.sampled_from([*KEYS, "workload", "pool", *(f"{key}FromEnv" for key in KEYS)]),
            st.text(max_size=12),
        ),
        st.one_of(
            st.text(max_size=30), st.sampled_from(["1", "5m", "http", "exact", "0.9", 'a="b"', "sum(up)"])
        ),
        max_size=8,
    ),
    st.sampled_from([SERVICE, OPEN]),
)
def test_any_metadata_ends_in_settings_that_can_be_obeyed_or_in_problems(
    metadata: dict[str, str], service: ServiceSettings
) -> None:
    try:
        parsed = parse(metadata, service=service)
    except SettingsError as wrong:
        lines = str(wrong).split("\n")
        count = len(wrong.problems)
    else:
        lines, count = [], 0
        assert parsed.policy().floor <= parsed.max_replicas
        assert SignalName.DEMAND in parsed.signals(PRESETS)
    assert len(lines) == count
