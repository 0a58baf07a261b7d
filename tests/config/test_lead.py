"""What an owner may say of the lead time, beside its length."""

from collections.abc import Mapping
from typing import Any

import pytest

from predictscale.config.lead import DEFAULT_DELAYS, DelaySettings
from predictscale.config.metadata import parse_trigger
from predictscale.config.presets import load_presets
from predictscale.config.settings import ServiceSettings
from predictscale.config.workload import WorkloadSettings
from predictscale.core.leadtime import Delays
from predictscale.errors import SettingsError

TRIGGER = {"backend": "vllm", "target": "chat", "capacityPerReplica": "10", "maxReplicas": "20"}


def parse(metadata: Mapping[str, str], defaults: Mapping[str, Any]) -> WorkloadSettings:
    service = ServiceSettings.model_validate({"defaults": defaults})
    return parse_trigger("prod", "chat", {**TRIGGER, **metadata}, service, load_presets())


def test_the_lead_time_is_measured_unless_somebody_says_no() -> None:
    assert parse({}, {}).measure_lead_time
    assert not parse({"measureLeadTime": "false"}, {}).measure_lead_time
    assert not parse({}, {"measure_lead_time": False}).measure_lead_time
    assert parse({"measureLeadTime": "true"}, {"measure_lead_time": False}).measure_lead_time


def test_delays_are_the_owners_where_they_are_given() -> None:
    assert parse({}, {}).delays == DEFAULT_DELAYS
    told = parse({}, {"delays": {"hpa_sync_s": "10s", "rate_limit_s": "1m"}}).delays
    assert told == DelaySettings(hpa_sync_s=10, rate_limit_s=60)


def test_the_defaults_are_those_of_keda_and_kubernetes() -> None:
    assert DEFAULT_DELAYS.delays(rate_window_s=None, from_zero=True) == Delays(
        scrape_s=90, poll_s=30, sync_s=15, rate_limit_s=0
    )
    assert DEFAULT_DELAYS.delays(rate_window_s=300, from_zero=False) == Delays(scrape_s=180, sync_s=15)


@pytest.mark.parametrize(
    "wrong", [{"poll_s": -1}, {"poll_s": "2d"}, {"hpa_sync_s": float("nan")}, {"pol_s": 1}]
)
def test_delays_that_cannot_be_are_refused(wrong: Mapping[str, object]) -> None:
    with pytest.raises((SettingsError, ValueError), match=next(iter(wrong))):
        parse({}, {"delays": wrong})
