"""Settings of every test: properties are tried on the same examples everywhere, and never timed."""

from collections.abc import Iterator

import hypothesis
import pytest
import structlog

hypothesis.settings.register_profile("steady", deadline=None, derandomize=True)
hypothesis.settings.load_profile("steady")


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """A command called in this process sets up the log, for a standard error that is closed after it."""
    yield
    structlog.reset_defaults()
