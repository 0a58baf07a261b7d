import pickle

import pytest

from predictscale import errors
from predictscale.errors import (
    ForecastTooShort,
    NotEnoughHistory,
    PredictscaleError,
    Problem,
    SettingsError,
    SourceRefused,
    TooManyWorkloads,
)


@pytest.mark.parametrize(
    "error",
    [
        NotEnoughHistory(need_s=7200, have_s=300),
        ForecastTooShort(need_s=600, have_s=60),
        TooManyWorkloads(limit=3),
        SourceRefused("no", status=422),
        SettingsError([Problem("a", "b", "c")]),
    ],
    ids=lambda e: type(e).__name__,
)
def test_an_error_comes_back_from_a_worker_with_its_numbers(error: PredictscaleError) -> None:
    back = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert back.__dict__ == error.__dict__


def test_the_tree_in_the_docstring_is_the_tree_in_the_code() -> None:
    drawn = {line.lstrip("│├└─ ").split()[0] for line in (errors.__doc__ or "").splitlines() if "──" in line}
    written = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, PredictscaleError) and value is not PredictscaleError
    }
    assert drawn == written
