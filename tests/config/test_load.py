"""The service's file, its environment, its flags, and all that can be wrong with them at once."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from predictscale.config.fields import normal_url
from predictscale.config.load import load_service
from predictscale.config.presets import load_presets
from predictscale.config.settings import ServiceSettings
from predictscale.core.demand import WorkloadId
from predictscale.errors import FileUnusable, SettingsError

ROOT = Path(__file__).parents[2]
WORKLOAD = {"namespace": "a", "name": "b", "query": "c", "capacity_per_replica": 1, "max_replicas": 2}


def load(tmp_path: Path, content: object, **env: str) -> ServiceSettings:
    path = tmp_path / "predictscale.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return load_service(path, env)


def problems(tmp_path: Path, content: object, **env: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, content, **env)
    return [str(problem) for problem in caught.value.problems]


def test_nothing_given_is_the_defaults() -> None:
    service = load_service()
    assert service == ServiceSettings()
    assert (service.grpc.port, service.http.port, service.metrics.port) == (6000, 8080, 9464)
    assert (service.loop.tick_s, service.loop.step_s, service.loop.history_s) == (15, 60, 28 * 86400)
    assert not service.limits.allow_inline_queries


@pytest.mark.parametrize("content", ["", "---\n", "# only a comment\n", "{}"])
def test_an_empty_file_is_the_defaults(tmp_path: Path, content: str) -> None:
    assert load(tmp_path, content) == ServiceSettings()


def test_the_example_is_a_good_file() -> None:
    service = load_service(ROOT / "predictscale.example.yaml")
    chat, code, shop = service.named_workloads(load_presets())
    assert (chat.workload, chat.level, chat.drain_s, chat.unit) == (
        WorkloadId("llm", "chat"),
        0.99,
        60,
        "tokens/s",
    )
    assert (shop.lead_time_s, shop.level, shop.hold_s) == (90, 0.95, 600)
    assert [(pool.name, pool.target) for pool in code.pools] == [("on-demand", "code"), ("spot", "code-spot")]


def test_flags_stand_above_the_environment_above_the_file_above_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("grpc: {port: 1, host: file, timeout_s: 1s}\nhttp: {port: 11}\nmetrics: {port: 21}\n")
    env = {"PREDICTSCALE_GRPC__PORT": "2", "PREDICTSCALE_HTTP__PORT": "12", "PREDICTSCALE_GRPC__HOST": "env"}
    service = load_service(path, env, {"grpc": {"port": 3, "host": None}, "http": {}})
    assert (service.grpc.port, service.grpc.host, service.grpc.timeout_s) == (3, "env", 1)
    assert (service.http.port, service.metrics.port, service.grpc.drain_s) == (12, 21, 1)


def test_ports_have_short_variables_and_zero_is_any() -> None:
    env = {f"PREDICTSCALE_{name}_PORT": "0" for name in ("GRPC", "HTTP", "METRICS")}
    service = load_service(None, env)
    assert (service.grpc.port, service.http.port, service.metrics.port) == (0, 0, 0)


def test_lists_and_sections_come_from_the_environment_as_json() -> None:
    workload = '[{"namespace":"a","name":"b","query":"c","capacity_per_replica":2,"max_replicas":3}]'
    env = {
        "PREDICTSCALE_WORKLOADS": workload,
        "PREDICTSCALE_PROMETHEUS": '{"url": "http://p:9090"}',
        "PREDICTSCALE_PROMETHEUS__TIMEOUT_S": "5s",
    }
    service = load_service(None, env)
    assert service.workloads[0].name == "b"
    assert service.prometheus is not None
    assert (service.prometheus.url, service.prometheus.timeout_s) == ("http://p:9090", 5)


def test_empty_variables_and_those_of_others_are_none() -> None:
    env = {
        "PREDICTSCALE_GRPC_PORT": "",
        "HOME": "/",
        "PREDICTSCALE_CONFIG": "x.yaml",
        "PREDICTSCALE_URL": "http://x",
    }
    assert load_service(None, env) == ServiceSettings()


def test_what_kubernetes_announces_of_services_is_no_setting() -> None:
    env = {
        "PREDICTSCALE_GRPC_PORT": "tcp://10.0.0.1:6000",
        "PREDICTSCALE_PORT": "tcp://10.0.0.1:8080",
        "PREDICTSCALE_SERVICE_HOST": "10.0.0.1",
        "PREDICTSCALE_SERVICE_PORT_GRPC": "6000",
        "PREDICTSCALE_PORT_6000_TCP": "tcp://10.0.0.1:6000",
        "PREDICTSCALE_METRICS_PORT_9464_TCP_PROTO": "tcp",
    }
    assert load_service(None, env) == ServiceSettings()


def test_a_misspelt_variable_is_told_what_was_meant() -> None:
    with pytest.raises(SettingsError, match="did you mean 'PREDICTSCALE_GRPC_PORT'"):
        load_service(None, {"PREDICTSCALE_GRPCPORT": "1"})


def test_a_problem_names_the_variable_or_flag_it_came_from(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, {}, PREDICTSCALE_GRPC_PORT="many")
    assert problem.startswith("grpc.port (PREDICTSCALE_GRPC_PORT): 'many'; ")
    with pytest.raises(SettingsError, match=r"http\.port \(a flag\): 70000"):
        load_service(None, {}, {"http": {"port": 70000}})


def test_all_problems_of_all_places_are_told_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        {
            "grpc": {"port": 99999, "prot": 1},
            "loop": {"history_s": "30s"},
            "log": {"level": "loud"},
            "workloads": [
                {
                    "namespace": "llm",
                    "name": "a",
                    "backend": "vlm",
                    "capacity_per_replica": 1,
                    "max_replicas": 2,
                },
                {
                    "namespace": "llm",
                    "name": "b",
                    "query": "up",
                    "capacity_per_replica": 0,
                    "lead_time_s": 30,
                },
                "c",
            ],
        },
        PREDICTSCALE_NONSENSE="1",
    )
    assert sorted(line.split(": ")[0] for line in found) == [
        "environment variable PREDICTSCALE_NONSENSE",
        "grpc.port",
        "grpc.prot",
        "log.level",
        "loop.history_s",
        "workloads[0].backend",
        "workloads[1].capacity_per_replica",
        "workloads[1].lead_time_s",
        "workloads[1].max_replicas",
        "workloads[2]",
    ]


def test_a_problem_says_where_what_came_what_would_do_and_why(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, {"workloads": [{**WORKLOAD, "lead_time_s": 30}]})
    assert problem == (
        "workloads[0].lead_time_s: 30 is shorter than step_s (60); a plan must be due at least one step ahead"
    )


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"grpc": {"port": 8080}}, "http.port: 8080 is grpc.port too; give each server its own"),
        (
            {"cache": {"path": "/data/x.db"}, "archive": {"path": "/data/x.db"}},
            "archive.path: /data/x.db is cache.path too; give each its own file",
        ),
        (
            {"events": {"path": "/data/x"}, "http": {"audit_path": "/data/x", "write_token_file": "/data/t"}},
            "http.audit_path: /data/x is events.path too",
        ),
        ({"loop": {"step_s": 7}}, "loop.step_s: 7 does not divide a day"),
        ({"loop": {"history_s": "90s"}}, "loop.history_s: 90 is shorter than two steps of 60"),
        ({"loop": {"tick_s": 0}}, "loop.tick_s: 0; must be above 0"),
        ({"loop": {"tick_s": float("nan")}}, "loop.tick_s: nan; a duration is finite"),
        ({"loop": None}, "loop: null; must be a mapping"),
        ({"fit": {"workers": 0}}, "fit.workers: 0; must be 1 or more"),
        ({"defaults": {"lead_time_s": 30}}, "defaults.lead_time_s: 30 is shorter than step_s (60)"),
        ({"defaults": {"quantile": 0.9, "slo": {"max_violation": "1%"}}}, "defaults.quantile: is given with"),
        (
            {"prometheus": {"url": "http://u:hunter2@p"}},
            "prometheus.url: a URL with a user or password in it",
        ),
        ({"prometheus": {"url": "ftp://p"}}, "prometheus.url: 'ftp://p'; must be an http:// or https://"),
        ({"prometheus": {"url": "http://p:x"}}, "prometheus.url: 'http://p:x'; must be"),
        ({"prometheus": {}}, "prometheus.url: is missing; must be given (base URL"),
        (
            {"prometheus": {"url": "http://p", "tls": {"cert_file": "c"}}},
            "prometheus.tls.key_file: is missing; give it beside cert_file",
        ),
        (
            {
                "prometheus": {
                    "url": "http://p",
                    "bearer_token_file": "t",
                    "basic": {"username": "u", "password_file": "p"},
                }
            },
            "prometheus.bearer_token_file: is given with basic",
        ),
        ({"grpc": {"tls": {"cert_file": "c"}}}, "grpc.tls.key_file: is missing"),
        ({"limits": {"max_query_bytes": 10**6}}, "limits.max_query_bytes: 1000000; must be 4096 or less"),
        ({"limits": {"allowed_prometheus": ["x"]}}, "limits.allowed_prometheus[0]: 'x'; must be an http://"),
        ({"workloads": {"a": 1}}, "workloads: a mapping; must be a list of workloads"),
        ({"wrkloads": []}, "wrkloads: is not a known setting; did you mean 'workloads'?"),
        ("grpc: {port: 1}\ngrpc: {port: 2}\n", "line 2, column 1: gives the key 'grpc' for the second time"),
        ("grpc: {port: 1, port: 2}\n", "for the second time"),
        ("grpc: [", "must be YAML"),
        ("a: 1\n---\nb: 2\n", "holds 2 documents; must be one mapping"),
        ("- a\n", "holds no mapping; must be one mapping"),
        ("1: a\n", "must be one mapping"),
        ("a: !!python/object:os.system x\n", "must be YAML"),
        ("[" * 2000, "must be YAML"),
    ],
)
def test_each_kind_of_mistake_has_its_words(tmp_path: Path, content: object, complaint: str) -> None:
    (problem,) = problems(tmp_path, content)
    assert complaint in problem
    assert "hunter2" not in problem


def test_a_workload_that_is_there_twice_is_named_by_both_places(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, {"workloads": [WORKLOAD, {**WORKLOAD, "namespace": "x"}, WORKLOAD]})
    assert problem == "workloads[2].name: a/b is workloads[0] too; give each its own name"


def test_secrets_in_headers_are_refused_and_not_repeated(tmp_path: Path) -> None:
    headers = {"Authorization": "Bearer hunter2"}
    (problem,) = problems(tmp_path, {"prometheus": {"url": "http://p", "headers": headers}})
    assert "give bearer_token_file or basic" in problem
    assert "hunter2" not in problem
    (problem,) = problems(tmp_path, {"prometheus": {"url": "http://p", "headers": {"X-Key": ["hunter2"]}}})
    assert "hunter2" not in problem


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(FileUnusable, match="No such file"):
        load_service(tmp_path / "none.yaml")
    with pytest.raises(FileUnusable, match="cannot be read"):
        load_service(tmp_path)
    (tmp_path / "latin").write_bytes(b"a: \xff\xfe")
    with pytest.raises(FileUnusable, match="not UTF-8"):
        load_service(tmp_path / "latin")
    (tmp_path / "huge").write_bytes(b"#" * (4 * 2**20 + 1))
    with pytest.raises(FileUnusable, match="at most 4194304"):
        load_service(tmp_path / "huge")


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("http://Prometheus:9090/", "http://prometheus:9090"),
        ("HTTPS://p:443", "https://p"),
        ("http://p:80/mimir/", "http://p/mimir"),
        ("http://[::1]:9090", "http://[::1]:9090"),
    ],
)
def test_one_address_has_one_form(written: str, normal: str) -> None:
    assert normal_url(written) == normal
    assert normal_url(normal) == normal


@pytest.mark.parametrize(
    "written",
    [
        "",
        "p",
        "//p",
        "http://",
        "http://u@p",
        "http://p?x=1",
        "http://p#x",
        "http://p p",
        "http://ü",
        "http://p:0x1",
    ],
)
def test_what_is_no_plain_address_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="http://"):
        normal_url(written)


scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20))
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [*ServiceSettings.model_fields, "port", "tls", "url", "basic", "lead_time_s", "name", "query"]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([*ServiceSettings.model_fields, "other"]), trees, max_size=5))
def test_no_tree_of_settings_ends_in_anything_but_settings_or_problems(tree: dict[str, Any]) -> None:
    try:
        service = load_service(None, {}, tree)
    except SettingsError as wrong:
        found = wrong.problems
    else:
        found = ()
        assert len(service.named_workloads(load_presets())) == len(service.workloads)
    assert all(p.where and p.got and p.wants and "\n" not in str(p) for p in found)
