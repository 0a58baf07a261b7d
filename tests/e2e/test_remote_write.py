"""What is written by remote write is what a scrape at that instant would have left in a real Prometheus."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from engine_fleets import value_of
from predictscale.simulate.engine.families import Families
from predictscale.simulate.engine.meters import VLLM_TTFT_S, Histogram
from prometheus_server import PrometheusServer
from remote_write import Scraped, relabelled, write

pytestmark = pytest.mark.e2e

START = datetime(2025, 9, 8, 7, 0, tzinfo=UTC)
STEP_S = 30.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    with PrometheusServer(tmp_path_factory.mktemp("receiver"), receives=True) as server:
        yield server


def at(scrape: int) -> datetime:
    return START + timedelta(seconds=STEP_S * scrape)


def scrape(*, pods: int, tokens: float = 0.0) -> Families:
    families = Families()
    for pod in range(pods):
        where = {"pod": f'chat-"{pod}"', "namespace": "prod"}
        families.gauge("running", "Requests.", where, 0.1 * pod)
        families.counter("tokens_total", "Tokens.", where, tokens)
    return families


def test_hours_pass_at_once_and_rates_are_those_of_their_own_time(server: PrometheusServer) -> None:
    told = Scraped()
    for number in range(1, 600):
        told.look(at(number), scrape(pods=3, tokens=number * 30.0))
        if number % 100 == 0:
            write(server.url, told.take())
    write(server.url, told.take())
    for number in (50, 300, 599):
        assert value_of(server, "sum(rate(tokens_total[5m]))", at(number)) == pytest.approx(3.0)
    assert value_of(server, 'running{pod="chat-\\"1\\""}', at(599)) == 0.1


def test_a_series_ends_with_the_scrape_that_does_not_tell_it_and_may_come_back(
    server: PrometheusServer,
) -> None:
    told = Scraped(drop=["tokens"])
    for number, pods in enumerate((2, 3, 1, 3, 3), start=601):
        told.look(at(number), scrape(pods=pods))
        write(server.url, relabelled(told.take(), namespace="other"))
    counts = [value_of(server, 'count(running{namespace="other"})', at(601 + n)) for n in range(5)]
    assert counts == [2, 3, 1, 3, 3]
    assert value_of(server, 'count(tokens_total{namespace="other"}) or vector(0)', at(605)) == 0


def test_histograms_keep_their_buckets(server: PrometheusServer) -> None:
    seen, told = Histogram(VLLM_TTFT_S), Scraped()
    for number in range(606, 612):
        seen.observe(0.03, times=900)
        seen.observe(3.0, times=100)
        families = Families()
        families.histogram("first", "Seconds.", {"namespace": "prod"}, seen, VLLM_TTFT_S)
        told.look(at(number), families)
    write(server.url, told.take())
    rates = "sum by (le) (rate(first_bucket[2m]))"
    assert value_of(server, f"histogram_quantile(0.5, {rates})", at(611)) == pytest.approx(0.03, abs=0.01)
    assert 2.5 < value_of(server, f"histogram_quantile(0.95, {rates})", at(611)) < 5.0


def test_a_sample_that_comes_too_late_is_refused_and_not_passed_over(server: PrometheusServer) -> None:
    told = Scraped()
    told.look(at(620), scrape(pods=1))
    samples = told.take()
    write(server.url, samples)
    told.look(at(619), scrape(pods=1, tokens=7.0))
    with pytest.raises(AssertionError, match="400"):
        write(server.url, told.take())
