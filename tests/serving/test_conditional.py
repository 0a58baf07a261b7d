"""What answers tell caches: entity tags, ages, HEAD, compression, and that nothing is kept unasked."""

import gzip
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closed_desk import closed_desk
from predictscale.clock import ManualClock
from predictscale.control.step import StepMemory, step
from predictscale.control.store import DecisionStore
from predictscale.core.demand import WorkloadId
from predictscale.core.plan import Decision
from predictscale.serving.conditional import LONG_BYTES, Conditional, tag_of
from predictscale.serving.rest import create_app
from worlds import NOON, at, flat_forecast, policy, seen

ONE = "/api/v1/workloads/prod/chat"
READS = ["/api/v1/fleet", "/api/v1/workloads", "/api/v1/sparks?w=prod/chat", ONE, f"{ONE}/decision"]


class Front:
    def __init__(self) -> None:
        self.store, self.clock = DecisionStore(), ManualClock(NOON)
        desk = closed_desk(self.store, self.clock)
        self.app = create_app(store=self.store, desk=desk, now=self.clock.now, ready=lambda: True)
        transport = httpx2.ASGITransport(self.app, raise_app_exceptions=False)
        self.client = httpx2.AsyncClient(transport=transport, base_url="http://scaler")
        self.client.headers["Accept-Encoding"] = "identity"

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.get(path, headers=named)


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    made = Front()
    made.store.put(decide())
    yield made
    await made.client.aclose()


def decide(demand: float = 25, *, second: float = 0, name: str = "chat") -> Decision:
    now = at(second)
    observed = seen(demand, now=now, age_s=10)
    forecast = flat_forecast(90, now=now)
    made, _ = step(WorkloadId("prod", name), observed, forecast, policy(), StepMemory(), unit="requests/s")
    return made


@pytest.mark.parametrize("path", READS)
async def test_what_is_unchanged_but_for_its_ages_is_not_sent_again(front: Front, path: str) -> None:
    first = await front.get(path)
    front.clock.advance(5)
    again = await front.get(path, If_None_Match=first.headers["etag"])
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert (first.headers["age"], again.headers["age"]) == ("0", "5")
    assert first.headers["cache-control"] == again.headers["cache-control"] == "no-cache"
    assert "content-type" not in again.headers


@pytest.mark.parametrize("path", [path for path in READS if "sparks" not in path])
async def test_a_new_decision_is_sent_whoever_had_the_old_one(front: Front, path: str) -> None:
    first = await front.get(path)
    front.clock.advance(15)
    front.store.put(decide(99, second=15))
    again = await front.get(path, If_None_Match=first.headers["etag"])
    assert again.status_code == 200
    assert again.headers["etag"] != first.headers["etag"]
    assert again.headers["age"] == "0"


async def test_a_row_that_is_valid_no_more_is_another_answer(front: Front) -> None:
    first = await front.get("/api/v1/workloads")
    front.clock.advance(601)
    again = await front.get("/api/v1/workloads", If_None_Match=first.headers["etag"])
    assert again.status_code == 200
    assert again.json()["workloads"][0]["available"] is False


async def test_different_pages_have_different_tags(front: Front) -> None:
    front.store.put(decide(name="shop"))
    tags = {
        (await front.get(f"/api/v1/workloads?{query}")).headers["etag"]
        for query in ("", "q=chat", "q=shop", "limit=1", "sort=-name", "q=nobody")
    }
    assert len(tags) == 6


@pytest.mark.parametrize(
    ("given_tags", "status"),
    [("*", 304), ('"other", TAG', 304), ("STRONG", 304), ('"other"', 200), ("", 200), ("TAG-", 200)],
)
async def test_tags_compare_weakly_and_one_of_many_is_enough(
    front: Front, given_tags: str, status: int
) -> None:
    tag = (await front.get(ONE)).headers["etag"]
    asked = given_tags.replace("TAG", tag).replace("STRONG", tag.removeprefix("W/"))
    assert (await front.get(ONE, If_None_Match=asked)).status_code == status


@pytest.mark.parametrize("path", [f"{ONE}/history", f"{ONE}/timeline"])
async def test_what_tells_of_the_past_alone_brings_a_tag_of_all_of_its_bytes(front: Front, path: str) -> None:
    # Looking for ages in megabytes takes longer than answers to KEDA may wait.
    first = await front.get(path)
    assert first.headers["etag"] == tag_of(first.content)
    front.clock.advance(5)
    assert (await front.get(path, If_None_Match=first.headers["etag"])).status_code == 304


async def test_a_304_varies_by_what_the_answer_would(front: Front) -> None:
    for number in range(10):
        front.store.put(decide(name=f"w{number}"))
    first = await front.get("/api/v1/workloads")
    again = await front.get("/api/v1/workloads", If_None_Match=first.headers["etag"])
    assert again.status_code == 304
    assert again.headers["vary"] == first.headers["vary"] == "Accept-Encoding"


async def test_errors_have_no_tag_and_are_not_kept(front: Front) -> None:
    answer = await front.get("/api/v1/workloads/prod/gone", If_None_Match="*")
    assert answer.status_code == 404
    assert "etag" not in answer.headers
    assert "age" not in answer.headers
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/readyz", "/openapi.json", *READS, "/nothing", f"{ONE}/no"]
)
async def test_head_answers_what_get_would_without_the_body(front: Front, path: str) -> None:
    got = await front.client.get(path)
    head = await front.client.head(path)
    assert head.status_code == got.status_code
    assert head.content == b""
    assert head.headers == got.headers


@pytest.mark.parametrize("path", [f"{ONE}/", "/api/v1/workloads/", "/healthz/"])
async def test_no_address_is_corrected_by_sending_the_reader_elsewhere(front: Front, path: str) -> None:
    answer = await front.client.get(path, headers={"Host": "evil.example"})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "location" not in answer.headers


async def test_pages_of_other_origins_are_not_let_in(front: Front) -> None:
    for method in ("GET", "OPTIONS"):
        headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}
        answer = await front.client.request(method, ONE, headers=headers)
        assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_our_own_fault_is_told_without_its_trace(front: Front) -> None:
    @front.app.get("/api/v1/broken")
    async def broken() -> None:
        raise ZeroDivisionError("the secret of line 7")

    answer = await front.get("/api/v1/broken")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["title"] == "Our own fault"
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("count", [1, 10, 200])
@pytest.mark.parametrize(
    ("accepted", "squeezed"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("identity", False),
        ("*, gzip;q=0.0", False),
        ("*;q=0, gzip", True),
    ],
)
async def test_long_answers_are_compressed_for_those_who_take_it(
    front: Front, count: int, accepted: str, *, squeezed: bool
) -> None:
    for number in range(count):
        front.store.put(decide(name=f"w{number}"))
    plain = await front.get("/api/v1/workloads?limit=1000")
    path = "/api/v1/workloads?limit=1000"
    async with front.client.stream("GET", path, headers={"Accept-Encoding": accepted}) as answer:
        raw = b"".join([part async for part in answer.aiter_raw()])
    short = len(plain.content) <= 1400
    assert (answer.headers.get("content-encoding") == "gzip") is (squeezed and not short)
    assert int(answer.headers["content-length"]) == len(raw)
    assert (gzip.decompress(raw) if squeezed and not short else raw) == plain.content
    assert short or answer.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    assert answer.headers["etag"] == plain.headers["etag"]
    assert (len(plain.content) > LONG_BYTES) is (count == 200)


async def test_an_answer_about_the_past_has_no_age_of_now(front: Front) -> None:
    front.clock.advance(30)
    asked = f"{ONE}/decision?at={(NOON + timedelta(seconds=1)).isoformat().replace('+00:00', 'Z')}"
    answer = await front.get(asked)
    assert answer.status_code == 200
    assert "age" not in answer.headers


@given(
    body=st.binary(max_size=200),
    shown=st.lists(st.binary(max_size=60), max_size=3),
    method=st.sampled_from(["GET", "HEAD"]),
)
async def test_whatever_is_shown_the_answer_is_the_body_or_nothing(
    body: bytes, shown: list[bytes], method: str
) -> None:
    sent: list[dict[str, object]] = []

    async def app(_: object, __: object, send: object) -> None:
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": body})  # type: ignore[operator]

    async def take(message: object) -> None:
        sent.append(message)  # type: ignore[arg-type]

    scope = {
        "type": "http",
        "method": method,
        "path": "/api/v1/anything",
        "query_string": b"",
        "headers": [(b"if-none-match", each) for each in shown],
    }
    middle = Conditional(app, newest=lambda _: None, now=lambda: NOON)
    await middle(scope, None, take)  # type: ignore[arg-type]
    start, answered = sent
    assert start["status"] in (200, 304)
    whole = start["status"] == 200 and method == "GET"
    assert answered["body"] == (body if whole else b"")
