"""Names of forecasters, and what importing them costs."""

import subprocess
import sys

import pytest

from predictscale.errors import SettingsError
from predictscale.forecasters.registry import DEFAULT_CHAIN, FORECASTERS, resolve


def test_every_forecaster_goes_by_its_name() -> None:
    assert set(FORECASTERS) == {
        "last-value",
        "seasonal-naive-day",
        "seasonal-naive-week",
        "holt-winters",
        "sarimax-fourier",
        "prophet",
        "native",
        "boosted",
        "auto",
    }
    for name, forecaster in FORECASTERS.items():
        assert forecaster.name == name


def test_the_default_chain_ends_with_one_that_always_can() -> None:
    chain = resolve(DEFAULT_CHAIN)
    assert [f.name for f in chain] == list(DEFAULT_CHAIN)
    assert DEFAULT_CHAIN == ("auto", "native", "seasonal-naive-day", "last-value")
    assert chain[-1].needs_s(60.0) <= 600.0
    assert not chain[-1].slow


def test_all_wrong_names_are_told_at_once_each_with_a_suggestion() -> None:
    with pytest.raises(SettingsError) as refused:
        resolve(("profet", "last-value", "last-value", "zzz"), where="workloads[2].forecasters")
    assert [str(p) for p in refused.value.problems] == [
        "workloads[2].forecasters[0]: 'profet'; did you mean 'prophet'?",
        "workloads[2].forecasters[2]: 'last-value'; name each forecaster once",
        f"workloads[2].forecasters[3]: 'zzz'; one of {', '.join(FORECASTERS)}",
    ]


def test_no_names_are_no_chain() -> None:
    with pytest.raises(SettingsError, match="forecasters: is empty"):
        resolve(())


@pytest.mark.parametrize(
    "module", ["predictscale", "predictscale.forecasters.registry", "predictscale.control.refit"]
)
def test_importing_costs_no_heavy_library(module: str) -> None:
    heavy = ("prophet", "statsmodels", "pandas", "scipy", "cmdstanpy")
    code = f"import sys, {module}; sys.exit(','.join(m for m in {heavy!r} if m in sys.modules) or None)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
    assert done.returncode == 0
