"""What an owner promises instead of a capacity, so that what a replica serves is learned.

Latency targets, and what is known of the engine. Which signals tell the load follows from the
backend. Refuses a backend that does not tell what a law is learned from, and a promise
of the wrong kind: tokens have an inter-token latency, plain requests a latency.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from predictscale.config.fields import Count, Duration, Frozen, NotNegative, Positive, Share, Span
from predictscale.config.presets import EXTRA_UNITS, Extra, Meaning, Preset, Presets
from predictscale.config.problems import refuse
from predictscale.config.windows import Counts
from predictscale.core.concurrency import Burst
from predictscale.core.demand import Signal, SignalName
from predictscale.core.law import LatencyTargets, Mix
from predictscale.core.lawcapacity import IMBALANCE, REQUESTS, TOKENS, CapacityLaw, Configured, Engine
from predictscale.core.lawguards import Learned
from predictscale.core.offered import Rate, Telling, together

_SHORT = {"itl": "itl_s", "ttft_p95": "ttft_p95_s", "latency": "latency_s", "queue": "queue_s"}
_PER_REQUEST, _PER_TOKEN = "requests/s", "tokens/s"
_ASKED = {
    SignalName.INPUT_TOKENS: Extra.INPUT_TOKENS,
    SignalName.UNCACHED_TOKENS: Extra.UNCACHED_TOKENS,
    SignalName.OUTPUT_TOKENS: Extra.OUTPUT_TOKENS,
    SignalName.KV_USAGE: Extra.KV_USAGE,
}
_UNITS = {name: EXTRA_UNITS[extra] for name, extra in _ASKED.items()} | {
    SignalName.REQUESTS: _PER_REQUEST,
    SignalName.WAITING: EXTRA_UNITS[Extra.WAITING],
}

Name = Annotated[str, StringConstraints(min_length=1, max_length=80, strip_whitespace=True)]


class CapacitySettings(Frozen):
    """Latency targets, from which what a replica serves is learned; `itl: 50ms` will do for `itl_s`."""

    itl_s: Span | None = Field(
        default=None, le=60, description="Mean time between tokens that is promised; or give latency_s."
    )
    ttft_p95_s: Span | None = Field(
        default=None,
        le=3600,
        description="Time to first token that 95 % of requests stay within, with itl_s.",
    )
    latency_s: Span | None = Field(
        default=None, le=3600, description="Mean latency of requests, where no tokens are counted."
    )
    queue_s: Duration = Field(
        default=0.0, le=3600, description="Mean time that a request may wait before an engine takes it."
    )
    start_per_replica: Positive | None = Field(
        default=None,
        description="Demand per second that a replica is thought to serve, until its capacity is learned.",
    )
    imbalance: NotNegative = Field(
        default=IMBALANCE, le=1, description="Share by which the fullest replica exceeds the mean."
    )
    wait_probability: Share = Field(
        default=Burst().wait_probability, description="Share of requests that may find no free slot."
    )
    kv_tokens: Positive | None = Field(
        default=None, description="Tokens that the KV cache of a replica holds; measured where engines tell."
    )
    max_running: Count | None = Field(
        default=None, ge=1, description="Requests that a replica runs at once, as max_num_seqs of vLLM."
    )
    max_batched_tokens: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Token budget of an iteration, as max_num_batched_tokens of vLLM."
    )
    model: Name | None = Field(default=None, description="The model, by which priors are chosen.")
    accelerator: Name | None = Field(default=None, description="Accelerators of a replica, likewise.")

    @model_validator(mode="before")
    @classmethod
    def _units_by_text(cls, given: Any) -> Any:
        # A duration brings its unit as text, so the name may leave it out: `itl: 50ms`.
        if not isinstance(given, Mapping):
            return given
        return {_SHORT[n] if n in _SHORT and _SHORT[n] not in given else n: v for n, v in given.items()}

    @model_validator(mode="after")
    def _one_promise(self) -> Self:
        if (self.itl_s is None) == (self.latency_s is None):
            got = "is missing, as latency_s is" if self.itl_s is None else "is given with latency_s"
            wants = "give itl_s where tokens are counted, latency_s where only requests are"
            raise refuse(got=got, wants=wants, field="itl_s")
        if self.ttft_p95_s is not None and self.itl_s is None:
            raise refuse(got="is given without itl_s", wants="give both", field="ttft_p95_s")
        return self

    @property
    def targets(self) -> LatencyTargets:
        """As a law knows them."""
        latency_s = self.itl_s if self.itl_s is not None else self.latency_s
        assert latency_s is not None  # noqa: S101 - _one_promise made sure
        return LatencyTargets(itl_s=latency_s, ttft_p95_s=self.ttft_p95_s, queue_s=self.queue_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedCapacity:
    """How a workload's capacity is learned, resolved and checked.

    Args:
        targets: What is promised; for plain requests their latency stands for ITL.
        telling: Which signals tell the load.
        primary: The rate that demand is counted in.
        engine_name: The preset whose server is scaled, by which priors are chosen.
        start_per_replica: Demand that a replica is thought to serve until then.
        imbalance: Share by which the fullest replica exceeds the mean.
        wait_probability: Share of requests that may find no free slot.
        engine: The replica's own limits, as the owner knows them.
        model: The model, by which priors are chosen.
        accelerator: The accelerators of a replica, likewise.
    """

    targets: LatencyTargets
    telling: Telling
    primary: Rate
    engine_name: str
    start_per_replica: float | None = None
    imbalance: float = IMBALANCE
    wait_probability: float = Burst().wait_probability
    engine: Engine = field(default_factory=Engine)
    model: str | None = None
    accelerator: str | None = None

    @classmethod
    def of(
        cls, written: CapacitySettings, *, telling: Telling, primary: Rate, engine_name: str
    ) -> "LearnedCapacity":
        """What was written, with what its backend tells."""
        return cls(
            targets=written.targets,
            telling=telling,
            primary=primary,
            engine_name=engine_name,
            start_per_replica=written.start_per_replica,
            imbalance=written.imbalance,
            wait_probability=written.wait_probability,
            engine=Engine(
                kv_tokens=written.kv_tokens,
                max_running=written.max_running,
                max_batched_tokens=written.max_batched_tokens,
            ),
            model=written.model,
            accelerator=written.accelerator,
        )

    def law(
        self,
        *,
        mix: Mix | None = None,
        learned: Learned | None = None,
        engine: Engine | None = None,
        peakedness: float = 1.0,
    ) -> CapacityLaw:
        """The capacity, as far as it is learned.

        Args:
            mix: The mean request of the last hours; None if it is not known yet. Of plain requests it is.
            learned: What windows taught; without a mix it cannot be used.
            engine: The replica's limits, the measured ones among them; the owner's if not given.
            peakedness: Of arrivals.
        """
        counts_tokens = self.telling.counts_tokens
        known = mix if counts_tokens else Mix.of_requests()
        start = None
        if self.start_per_replica is not None:
            start = Configured(
                per_replica=together({self.primary: self.start_per_replica}), until_learned=True
            )
        return CapacityLaw(
            slo=self.targets,
            mix=known,
            learned=None if known is None else learned,
            configured=start,
            engine=engine or self.engine,
            burst=Burst(wait_probability=self.wait_probability, peakedness=peakedness),
            imbalance=self.imbalance,
            work=TOKENS if counts_tokens else REQUESTS,
            primary=self.primary,
        )

    def signals(
        self, preset: Preset, presets: Presets, *, selector: str, empty_is_zero: bool
    ) -> Iterator[Signal]:
        """What is asked for beside demand and queue.

        Args:
            preset: The workload's.
            presets: All of them: requests may be told by the one that it leans on.
            selector: Matchers, ready to be put inside braces.
            empty_is_zero: Whether no series at all means no requests.
        """
        other = None if preset.further_of is None else presets[preset.further_of]
        telling = self.telling
        wanted = {telling.input_tokens, telling.prompts, telling.output_tokens, SignalName.KV_USAGE}
        tellers: list[tuple[SignalName, Preset, SignalName | Extra]] = [
            (name, preset, extra) for name, extra in _ASKED.items() if name in wanted
        ]
        if telling.requests is SignalName.REQUESTS and other is not None:
            tellers.append((SignalName.REQUESTS, other, SignalName.DEMAND))
        if telling.waiting is SignalName.WAITING:
            lent = Extra.WAITING not in preset.signals and other is not None
            waiting = (other, SignalName.QUEUE) if lent and other is not None else (preset, Extra.WAITING)
            tellers.append((SignalName.WAITING, *waiting))
        for name, teller, part in tellers:
            query = teller.query(part, selector=selector)
            if query is not None:
                # Only of arrivals can the owner know that none at all means none.
                zero = empty_is_zero and name in (SignalName.REQUESTS, SignalName.WAITING)
                yield Signal(name, query, _UNITS[name], empty_is_zero=zero)


def telling_of(preset: Preset, presets: Presets) -> tuple[Telling, Rate] | str:
    """Which signals of a backend tell the load and what its demand counts; else what it lacks."""
    if preset.windows is None:
        return "does not tell latencies pod by pod"
    requests_in = _requests_in(preset, presets)
    if requests_in is None:
        return "does not tell requests"
    own = requests_in is preset
    plain = Telling(
        requests=SignalName.DEMAND if own else SignalName.REQUESTS,
        arrivals=requests_in.signals[SignalName.DEMAND].meaning is Meaning.ARRIVAL,
        waiting=_waiting_by(preset, None if own else requests_in),
    )
    demand = preset.signals[SignalName.DEMAND].unit
    if preset.windows.counts is Counts.REQUESTS:
        return (plain, Rate.REQUESTS) if own else "counts demand in tokens and learns from requests"
    if not {Extra.INPUT_TOKENS, Extra.OUTPUT_TOKENS} <= preset.signals.keys():
        return "does not tell input and output tokens"
    uncached = Extra.UNCACHED_TOKENS in preset.signals
    telling = replace(
        plain,
        input_tokens=SignalName.UNCACHED_TOKENS if uncached else SignalName.INPUT_TOKENS,
        prompts=SignalName.INPUT_TOKENS,
        output_tokens=SignalName.OUTPUT_TOKENS,
    )
    return telling, Rate.OUTPUT if demand == _PER_TOKEN else Rate.REQUESTS


def _requests_in(preset: Preset, presets: Presets) -> Preset | None:
    """The preset that counts a backend's requests: itself, or the one that it leans on."""
    other = None if preset.further_of is None else presets.get(preset.further_of)
    for each in (preset, other):
        if each is not None and each.signals[SignalName.DEMAND].unit == _PER_REQUEST:
            return each
    return None


def _waiting_by(preset: Preset, other: Preset | None) -> SignalName | None:
    queue = preset.signals.get(SignalName.QUEUE)
    if queue is not None and queue.unit == "requests":
        return SignalName.QUEUE
    lent = None if other is None else other.signals.get(SignalName.QUEUE)
    if Extra.WAITING in preset.signals or (lent is not None and lent.unit == "requests"):
        return SignalName.WAITING
    return None
