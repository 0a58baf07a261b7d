"""What is thought of engines, models and accelerators before anything is measured.

A prior is data with a source (`models/capacity/*.yaml`). Every figure says what
stands behind it: a publication, a simulation, arithmetic on one of these, or
nothing but an assumption. None was measured by predictscale, and a file that
says otherwise is refused, as is a figure without a source or of an unknown name.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from pydantic import Field

from predictscale.config.fields import Frozen, Positive
from predictscale.config.packaged import home, load_file, load_folder
from predictscale.config.presets import Text
from predictscale.errors import Problem


class Evidence(StrEnum):
    """What stands behind a figure."""

    PUBLISHED = "published"  # somebody else's measurement or default
    SIMULATED = "simulated"  # no accelerator was run
    DERIVED = "derived"  # arithmetic on published figures
    ASSUMED = "assumed"  # nothing but judgement


class FigureName(StrEnum):
    """What a prior can tell; the unit is in the name, or there is none."""

    INPUT_COST = "input_cost"  # of an input token, in output tokens
    TTFT_K0 = "ttft_k0"  # of the TTFT line, in gammas
    TTFT_K1 = "ttft_k1"
    IMBALANCE = "imbalance"  # share by which the fullest replica exceeds the mean
    USABLE_UTILIZATION = "usable_utilization"
    USABLE_KV_SHARE = "usable_kv_share"
    ITL_TARGET_S = "itl_target_s"
    TTFT_TARGET_S = "ttft_target_s"
    LEAST_REQUESTS_RPS = "least_requests_rps"  # a replica serves at least this, for `request`
    START_S = "start_s"  # from created to ready, on a node that is there
    COMPILE_WORST_S = "compile_worst_s"
    WAKE_S = "wake_s"  # of a replica that sleeps


class Figure(Frozen):
    """One number, and why anybody believes it."""

    value: Positive = Field(description="the figure")
    low: Positive | None = Field(default=None, description="the low end, if a range is known")
    high: Positive | None = Field(default=None, description="the high end, if a range is known")
    evidence: Evidence = Field(description="what stands behind it")
    source: Text = Field(description="where it was read")
    note: str = Field(default="", description="what a user should know of it")


class Request(Frozen):
    """The mean request that figures per request belong to."""

    input_tokens: Positive = Field(description="tokens of the prompt")
    output_tokens: Positive = Field(description="tokens of the answer")


class CapacityPrior(Frozen):
    """The figures of one engine, model and accelerator; each that is not named means any."""

    name: Text = Field(description="the file's name")
    title: Text = Field(description="as people call it")
    kind: Literal["prior"] = Field(description="that nothing of this was measured here")
    engine: Text | None = Field(default=None, description="the serving engine, such as vllm")
    model: Text | None = Field(default=None, description="the model, such as llama-70b")
    accelerator: Text | None = Field(default=None, description="the accelerators of a replica")
    request: Request | None = Field(default=None, description="the mean request of figures per request")
    figures: Mapping[FigureName, Figure] = Field(min_length=1, description="what is thought")

    def fits(self, *, engine: str | None, model: str | None, accelerator: str | None) -> int | None:
        """How many of engine, model and accelerator it names and meets; None if it names another."""
        asked = ((self.engine, engine), (self.model, model), (self.accelerator, accelerator))
        if any(mine is not None and mine != theirs for mine, theirs in asked):
            return None
        return sum(mine is not None for mine, _ in asked)


Priors = Mapping[str, CapacityPrior]
"""Priors by name."""


@cache
def load_priors(folder: Path | None = None) -> Priors:
    """Every prior of a folder, by name; by default those that come with predictscale.

    Raises:
        SettingsError: A file is no good prior; all problems of all files at once.
        FileUnusable: There is no folder, or no prior in it.
    """
    return MappingProxyType(load_folder(folder or home("capacity"), _load, plural="priors"))


def prior_figure(
    priors: Priors,
    name: FigureName,
    *,
    engine: str | None = None,
    model: str | None = None,
    accelerator: str | None = None,
) -> Figure | None:
    """The figure of the prior that names most of what is asked for, and nothing else; None without one.

    Args:
        priors: As loaded.
        name: Which figure.
        engine: The workload's; None if unknown.
        model: The workload's; None if unknown.
        accelerator: The workload's; None if unknown.
    """
    best, most = None, -1
    for prior in priors.values():
        fits = prior.fits(engine=engine, model=model, accelerator=accelerator)
        if fits is not None and fits > most and name in prior.figures:
            best, most = prior.figures[name], fits
    return best


def _load(path: Path) -> CapacityPrior:
    return load_file(path, CapacityPrior, _problems)


def _problems(prior: CapacityPrior, path: Path) -> Iterator[Problem]:
    if prior.name != path.stem:
        yield Problem(f"{path.name}: name", repr(prior.name), f"must be the file's: {path.stem!r}")
    for name, figure in prior.figures.items():
        low = figure.value if figure.low is None else figure.low
        high = figure.value if figure.high is None else figure.high
        if not low <= figure.value <= high:
            got = f"{figure.value:g} lies outside {low:g} to {high:g}"
            yield Problem(f"{path.name}: figures.{name}", got, "must lie between low and high")
    if FigureName.LEAST_REQUESTS_RPS in prior.figures and prior.request is None:
        wants = "give the mean request that figures.least_requests_rps is for"
        yield Problem(f"{path.name}: request", "is missing", wants)
