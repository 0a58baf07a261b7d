import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import httpx2
import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from predictscale import __version__
from predictscale.clock import ManualClock
from predictscale.config.settings import WorkloadSettings
from predictscale.control.desk import Desk, Following, Ref
from predictscale.control.step import StepMemory, step
from predictscale.control.store import KEPT, DecisionStore
from predictscale.core.demand import WorkloadId
from predictscale.core.forecast import Components, Forecast
from predictscale.core.plan import Decision, Landing, Mode, OnStale, Policy, Stage
from predictscale.errors import Problem, SettingsError
from predictscale.serving.rest import create_app
from worlds import CHAT, NOON, at, flat_forecast, held, policy, seen

ONE = "/api/v1/workloads/prod/chat"
READERS = ["", "/decision", "/forecast", "/history"]
WRONG = SettingsError([Problem("scalerMetadata.maxReplicas", "is missing", "give a number")])


@dataclass
class Front:
    """The REST application, and what it reads."""

    store: DecisionStore = field(default_factory=DecisionStore)
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOON))
    ready: bool = True
    max_registrations: int = 100

    def __post_init__(self) -> None:
        self.desk = Desk(
            parse=self._parse,
            store=self.store,
            following=Following(lambda _: None, self.store.forget),
            clock=self.clock,
            max_registrations=self.max_registrations,
            expire_after_s=3600,
        )
        app = create_app(store=self.store, desk=self.desk, now=self.clock.now, ready=lambda: self.ready)
        self.client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://scaler")

    @staticmethod
    def _parse(ref: Ref) -> WorkloadSettings:
        if not ref.metadata:
            raise WRONG
        workload = WorkloadId(ref.namespace, ref.name)
        return WorkloadSettings(workload=workload, query="load", capacity_per_replica=10, max_replicas=100)

    async def follow(self, *names: str) -> None:
        for name in names:
            await self.desk.spec(Ref("prod", name, {"query": "load"}))

    async def refuse(self, name: str) -> None:
        with pytest.raises(SettingsError):
            await self.desk.spec(Ref("prod", name, {}))

    async def get(self, path: str) -> httpx2.Response:
        return await self.client.get(path)

    async def body(self, path: str) -> Any:
        """The JSON of a good answer; NaN and infinities are none."""
        answer = await self.get(path)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json"
        return strict(answer.text)

    async def problem(self, path: str, *, status: int) -> str:
        """What is told of an error that is shaped as RFC 9457 says."""
        answer = await self.get(path)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        body = strict(answer.text)
        assert body["status"] == status
        assert body["title"]
        assert body["type"] == "about:blank"
        return str(body["detail"])


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    made = Front()
    yield made
    await made.client.aclose()


def strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def decide(
    demand: float | None = 25,
    forecast: Forecast | None = None,
    *,
    obeyed: Policy | None = None,
    memory: StepMemory | None = None,
    second: float = 0,
    workload: WorkloadId = CHAT,
    **observed: Any,
) -> Decision:
    observation = seen(demand, now=at(second), **observed)
    made, _ = step(
        workload, observation, forecast, obeyed or policy(), memory or StepMemory(), unit="requests/s"
    )
    return made


async def test_a_workload_in_one_line_tells_its_numbers(front: Front) -> None:
    front.store.put(decide(25, flat_forecast(90), replicas=4, age_s=10))
    front.clock.advance(5)
    assert await front.body(ONE) == {
        "namespace": "prod",
        "workload": "chat",
        "health": "ok",
        "mode": "live",
        "model": "oracle",
        "demand": 25,
        "unit": "requests/s",
        "demand_age_s": 15,
        "target_replicas": 9,
        "published_replicas": 9,
        "available": True,
        "reactive_replicas": 3,
        "current_replicas": 4,
        "ready_replicas": 4,
        "starting_replicas": 0,
        "active": True,
        "decided_at": "2026-03-02T12:00:00Z",
        "state": "ok",
        "state_because": "demand is 10 s old, oracle forecasts",
        "policy_quantile": 0.9,
        "expected_peak": 90,
        "lead_time_s": 240,
        "max_replicas": 100,
        "at_ceiling": False,
        "saved_replica_hours": None,
        "saved_money": None,
        "currency": None,
        "demand_at": "2026-03-02T11:59:50Z",
        "valid_until": "2026-03-02T12:10:00Z",
    }


async def test_what_was_never_seen_is_null_and_not_zero(front: Front) -> None:
    front.store.put(decide(None))
    body = await front.body(ONE)
    unknown = ("demand", "demand_age_s", "current_replicas", "ready_replicas", "model")
    assert {name: body[name] for name in unknown} == dict.fromkeys(unknown)
    assert (body["health"], body["available"]) == ("unknown", False)


async def test_a_decision_shows_every_stage_in_order_and_the_settings_it_obeyed(front: Front) -> None:
    made = decide(25, flat_forecast(90), queue=600)
    front.store.put(made)
    body = await front.body(f"{ONE}/decision")
    assert [s["stage"] for s in body["steps"]] == [stage.value for stage in Stage]
    assert [(s["value"], s["because"]) for s in body["steps"]] == [
        (s.value, s.because) for s in made.plan.steps
    ]
    assert body["steps"][-1]["value"] == body["published_replicas"]
    assert body["policy"]["lead_time_s"] == made.policy.lead_time_s
    assert body["valid_until"] == "2026-03-02T12:10:00Z"


async def test_in_shadow_mode_both_staircases_are_told(front: Front) -> None:
    front.store.put(decide(25, flat_forecast(90), obeyed=policy(mode=Mode.SHADOW)))
    body = await front.body(f"{ONE}/decision")
    assert (body["steps"][-1]["value"], body["reactive_steps"][-1]["value"]) == (9, 3)
    assert body["published_replicas"] == 3


async def test_a_decision_past_its_validity_is_shown_as_unavailable(front: Front) -> None:
    front.store.put(decide(obeyed=policy(stale_after_s=600)))
    front.clock.advance(600)
    assert (await front.body(ONE))["available"] is True
    front.clock.advance(1)
    assert (await front.body(ONE))["available"] is False


async def test_a_forecast_tells_its_author_its_age_and_a_value_for_each_level_and_step(front: Front) -> None:
    forecast = flat_forecast(90, steps=20)
    front.store.put(decide(25, forecast))
    front.clock.advance(30)
    body = await front.body(f"{ONE}/forecast")
    assert (body["model"], body["age_s"], body["step_s"]) == ("oracle", 30, 60)
    assert body["levels"] == [0.5, 0.9]
    assert body["values"] == forecast.values.tolist()
    assert len(body["starts"]) == forecast.steps
    assert body["starts"][0] == body["origin"] == "2026-03-02T12:00:00Z"


async def test_a_forecast_tells_what_its_median_is_made_of_if_anybody_knows(front: Front) -> None:
    plain = flat_forecast(90, steps=5)
    front.store.put(decide(25, plain))
    assert (await front.body(f"{ONE}/forecast"))["components"] is None
    parts = {
        "level": [60.0] * 5,
        "day": [10.0, 20.0, 30.0, 30.0, 30.0],
        "week": [0.0, -5.0, -5.0, -5.0, -5.0],
        "events": [0.0, 0.0, 5.0, 5.0, 5.0],
        "correction": [20.0, 15.0, 0.0, 0.0, 0.0],
    }
    components = Components(**{name: np.array(part) for name, part in parts.items()})
    front.store.put(decide(25, replace(plain, components=components)))
    assert (await front.body(f"{ONE}/forecast"))["components"] == parts


async def test_without_a_forecast_the_reason_is_told(front: Front) -> None:
    front.store.put(replace(decide(), notes=("no model is fitted yet",)))
    detail = await front.problem(f"{ONE}/forecast", status=404)
    assert detail == "prod/chat has no forecast now: no model is fitted yet"


async def test_history_is_newest_first_and_as_long_as_asked_for(front: Front) -> None:
    for second in range(0, 45, 15):
        front.store.put(decide(second=second))
    decided = [d["decided_at"] for d in (await front.body(f"{ONE}/history?limit=2"))["decisions"]]
    assert decided == ["2026-03-02T12:00:30Z", "2026-03-02T12:00:15Z"]
    assert len((await front.body(f"{ONE}/history?limit={KEPT}"))["decisions"]) == 3


async def test_history_tells_how_old_data_was_then_and_not_now(front: Front) -> None:
    front.store.put(decide(age_s=20))
    front.clock.advance(3600)
    [then] = (await front.body(f"{ONE}/history"))["decisions"]
    assert (then["demand_age_s"], then["available"]) == (20, True)


async def test_history_without_a_limit_is_a_hundred_decisions(front: Front) -> None:
    for second in range(120):
        front.store.put(decide(second=second))
    assert len((await front.body(f"{ONE}/history"))["decisions"]) == 100


@pytest.mark.parametrize("limit", ["0", "-1", str(KEPT + 1), "many", "", "1e2", "NaN"])
async def test_a_bad_limit_is_refused_by_its_name(front: Front, limit: str) -> None:
    front.store.put(decide())
    assert "query.limit: " in await front.problem(f"{ONE}/history?limit={limit}", status=422)


async def test_the_list_tells_who_has_a_decision_who_waits_and_who_is_refused(front: Front) -> None:
    await front.follow("chat", "shop")
    await front.refuse("code")
    front.store.put(decide())
    body = await front.body("/api/v1/workloads")
    assert [(w["namespace"], w["workload"]) for w in body["workloads"]] == [("prod", "chat")]
    assert body["waiting"] == ["prod/shop"]
    assert body["refused"] == [
        {
            "namespace": "prod",
            "scaled_object": "code",
            "problems": ["scalerMetadata.maxReplicas: is missing; give a number"],
            "since": "2026-03-02T12:00:00Z",
        }
    ]


@pytest.mark.parametrize("reader", READERS)
async def test_an_unknown_workload_is_told_which_there_are(front: Front, reader: str) -> None:
    assert "known: none" in await front.problem(f"/api/v1/workloads/prod/gone{reader}", status=404)
    await front.follow("chat", "shop")
    detail = await front.problem(f"/api/v1/workloads/prod/gone{reader}", status=404)
    assert detail == "prod/gone is not followed; known: prod/chat, prod/shop"


async def test_a_workload_whose_trigger_is_refused_is_told_why(front: Front) -> None:
    await front.refuse("code")
    detail = await front.problem("/api/v1/workloads/prod/code/decision", status=404)
    refused = "its trigger is refused: scalerMetadata.maxReplicas: is missing; give a number"
    assert detail == f"prod/code is not followed: {refused}"


@pytest.mark.parametrize("reader", READERS)
async def test_a_workload_without_a_decision_is_told_to_wait(front: Front, reader: str) -> None:
    await front.follow("chat")
    detail = await front.problem(f"{ONE}{reader}", status=404)
    assert detail == "prod/chat has no decision yet: its history is being read; ask again in some seconds"


async def test_of_many_workloads_only_some_are_named(front: Front) -> None:
    await front.follow(*(f"w{number:02}" for number in range(50)))
    detail = await front.problem(ONE, status=404)
    assert "prod/w19 and 30 more" in detail
    assert "prod/w20" not in detail


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/api/v2", "/metrics", "/api/v1/workloads/prod"])
async def test_what_is_not_there_is_a_problem_too(front: Front, path: str) -> None:
    told = f"there is nothing at {path}; /openapi.json tells what there is"
    assert await front.problem(path, status=404) == told


async def test_a_path_of_any_length_is_said_again_shortly(front: Front) -> None:
    assert len(await front.problem(f"/{'x' * 4000}", status=404)) < 300


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/api/v1/workloads", ONE, "/"])
async def test_nothing_can_be_changed(front: Front, method: str, path: str) -> None:
    answer = await front.client.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].startswith(f"{path} does not take {method}; ")


async def test_readiness_follows_the_servers_and_not_the_data(front: Front) -> None:
    assert (await front.body("/readyz"))["status"] == "ready"
    front.store.put(decide(None))
    assert (await front.body("/readyz"))["status"] == "ready"
    front.ready = False
    front.store.put(decide(25, flat_forecast(90)))
    answer = await front.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"status": "draining or starting"})


async def test_the_process_is_alive_whether_ready_or_not(front: Front) -> None:
    front.ready = False
    assert await front.body("/healthz") == {"status": "ok"}


async def test_openapi_describes_every_answer_and_every_problem(front: Front) -> None:
    described = await front.body("/openapi.json")
    assert described["info"]["version"] == __version__
    assert set(described["paths"]) >= {
        *(f"/api/v1/{together}" for together in ("fleet", "workloads", "sparks", "costs")),
        *(
            f"/api/v1/workloads/{{namespace}}/{{name}}{reader}"
            for reader in [*READERS, "/tuning", "/lead-time", "/pools", "/capacity", "/cost", "/savings"]
        ),
        "/healthz",
        "/readyz",
    }
    for path, methods in described["paths"].items():
        assert list(methods) == ["get"]
        answers = methods["get"]["responses"]
        good = answers["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        model = described["components"]["schemas"][good]
        assert model["description"], good
        assert methods["get"]["description"], path
        if "{" in path:
            for status in ("404", "422"):
                problem = answers[status]["content"]["application/problem+json"]["schema"]
                assert problem == {"$ref": "#/components/schemas/ProblemView"}
    shape = described["components"]["schemas"]["ProblemView"]
    assert {"title", "status", "detail"} <= set(shape["required"])
    assert "HTTPValidationError" not in described["components"]["schemas"]
    assert "503" in described["paths"]["/readyz"]["get"]["responses"]


async def test_openapi_points_at_nothing_outside(front: Front) -> None:
    assert "://" not in (await front.get("/openapi.json")).text


async def test_answers_have_the_fields_that_openapi_promises(front: Front) -> None:
    front.store.put(decide(25, flat_forecast(90), replicas=3))
    schemas = (await front.body("/openapi.json"))["components"]["schemas"]
    for reader, model in zip(
        READERS, ["RowView", "DecisionView", "ForecastView", "HistoryView"], strict=True
    ):
        assert set(await front.body(f"{ONE}{reader}")) == set(schemas[model]["properties"])


amounts = st.one_of(st.none(), st.floats(min_value=0, allow_infinity=False), st.just(0.0), st.just(5e-324))
counts = st.one_of(st.none(), st.integers(min_value=0, max_value=10**9))
ages = st.one_of(st.just(0.0), st.floats(min_value=0, max_value=1e9))
policies: st.SearchStrategy[Callable[[], Policy]] = st.builds(
    lambda **chosen: lambda: policy(**chosen),
    per_replica=st.floats(min_value=1e-9, max_value=1e12),
    min_replicas=st.integers(min_value=0, max_value=3),
    max_replicas=st.integers(min_value=3, max_value=10**6),
    on_stale=st.sampled_from(OnStale),
    landing=st.sampled_from(Landing),
    mode=st.sampled_from(Mode),
)


@pytest.fixture(scope="module")
def one_front() -> Front:
    """Of all examples of a property: the application takes longer to make than to ask."""
    return Front()


@given(
    demand=amounts,
    queue=amounts,
    replicas=counts,
    age_s=ages,
    ahead=amounts,
    obeyed=policies,
    last_good=counts,
    partial=st.booleans(),
)
async def test_every_decision_however_odd_can_be_read_everywhere(
    *,
    demand: float | None,
    queue: float | None,
    replicas: int | None,
    age_s: float,
    ahead: float | None,
    obeyed: Callable[[], Policy],
    last_good: int | None,
    partial: bool,
    one_front: Front,
) -> None:
    forecast = flat_forecast(ahead) if ahead is not None else None
    memory = held(last_good) if last_good is not None else StepMemory().live
    try:
        made = decide(
            demand,
            forecast,
            obeyed=obeyed(),
            memory=StepMemory(live=memory, reactive=memory),
            queue=queue,
            replicas=replicas,
            age_s=age_s,
            partial=partial,
        )
    except OverflowError:
        reject()  # more replicas than a float can count: no decision is made at all
    one_front.store.forget(made.workload)
    one_front.store.put(made)
    for reader in READERS:
        if reader != "/forecast" or made.forecast is not None:
            await one_front.body(f"{ONE}{reader}")
    assert (await one_front.get("/")).status_code == 200
