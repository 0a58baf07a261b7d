"""One question to Prometheus' HTTP API, and one answer or an error in our words.

Here are retries, deadlines, the size cap and the circuit breaker. Refuses to
follow redirects, to read proxies or passwords from the environment, and to
know what was asked.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import numpy as np
import structlog

from predictscale.clock import Clock, SystemClock
from predictscale.errors import AnswerUnusable, Problem, SettingsError, SourceRefused, SourceUnavailable
from predictscale.sources.breaker import Breaker
from predictscale.sources.credentials import Basic, Bearer, Tls, TlsKeeper, Wallet

_log = structlog.get_logger(__name__)

_ERROR_BODY_BYTES = 65_536
_ERROR_TEXT_CHARS = 300
_SKEW_WORTH_A_WORD_S = 30.0
_URL_WANTED = "must look like http://host:9090/prefix, without a query"


@dataclass(frozen=True, slots=True)
class Reply:
    """What Prometheus answered.

    Args:
        data: The answer's `data` object, as JSON gave it.
        warnings: Prometheus' own warnings; VictoriaMetrics' `isPartial` is one.
        date: The server's clock, to the second, if it told.
    """

    data: Mapping[str, Any]
    warnings: tuple[str, ...]
    date: datetime | None


class PrometheusApi:
    """Asks one Prometheus, or what speaks like it.

    Args:
        url: Where it is, with a path prefix if it has one, without a password.
        clock: Its monotonic time drives the breaker; the system's is compared with the server's.
        auth: How to prove who asks.
        tls: Whom to trust.
        headers: Sent with each question, such as a tenant's `X-Scope-OrgID`.
        timeout_s: For one attempt [s]; Prometheus is told, too.
        max_concurrent: Questions at once.
        retries: Attempts after the first one.
        backoff_s: Wait before the first retry [s], doubled each time, with jitter.
        body_limit_bytes: The largest answer, decompressed.
    """

    def __init__(
        self,
        *,
        url: str,
        clock: Clock,
        auth: Bearer | Basic | None,
        tls: Tls | None,
        headers: Mapping[str, str],
        timeout_s: float,
        max_concurrent: int,
        retries: int,
        backoff_s: float,
        body_limit_bytes: int,
    ) -> None:
        self._url = _checked(url)
        self._clock = clock
        self._wallet = Wallet(auth=auth, headers=headers)
        self._timeout_s = timeout_s
        self._retries = retries
        self._backoff_s = backoff_s
        self._limit = body_limit_bytes
        self._slots = asyncio.Semaphore(max_concurrent)
        self._breaker = Breaker(clock=clock)
        self._jitter = np.random.default_rng()
        self._tls = TlsKeeper(tls or Tls())
        self._client = httpx2.AsyncClient(
            verify=self._tls.context,
            timeout=timeout_s,
            limits=httpx2.Limits(max_connections=max_concurrent),
            follow_redirects=False,
            trust_env=False,
        )
        self._warned: set[str] = set()
        self.skew_s: float | None = None

    async def ask(self, path: str, form: Mapping[str, str]) -> Reply:
        """POST `form` to `path`, again if that may help.

        Raises:
            SourceUnavailable: No answer, 429 or 5xx, also after the retries; or the breaker is open.
            SourceRefused: Another status.
            AnswerUnusable: 200 with something that is not an answer.
        """
        form = {**form, "timeout": f"{self._timeout_s:g}"}
        for attempt in range(self._retries + 1):
            async with self._slots:
                self._breaker.admit()
                try:
                    return await self._counted_attempt(path, form)
                except SourceUnavailable as error:
                    wait_s = self._wait_s(attempt, error.retry_after_s)
                    if attempt == self._retries or wait_s > self._timeout_s:
                        raise
            await asyncio.sleep(wait_s)
        raise AssertionError("the last attempt returns or raises")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _wait_s(self, attempt: int, retry_after_s: float | None) -> float:
        backoff_s: float = self._backoff_s * 2.0**attempt * self._jitter.uniform(0.5, 1.0)
        return max(backoff_s, retry_after_s or 0.0)

    async def _counted_attempt(self, path: str, form: Mapping[str, str]) -> Reply:
        try:
            reply = await self._attempt(path, form)
        except SourceUnavailable as error:
            self._breaker.failed(error)
            raise
        except (SourceRefused, AnswerUnusable):
            # It is alive: what it dislikes is this one question.
            self._breaker.succeeded()
            raise
        except BaseException:
            self._breaker.abandoned()
            raise
        self._breaker.succeeded()
        return reply

    async def _attempt(self, path: str, form: Mapping[str, str]) -> Reply:
        headers = self._wallet.headers()
        self._tls.refresh()
        try:
            # The library's timeouts are per read; a drip of bytes would keep them happy for ever.
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.stream("POST", self._url + path, data=dict(form), headers=headers) as response,
            ):
                if response.status_code != httpx2.codes.OK:
                    raise await self._refusal(response)
                body = await _body(response, self._limit)
                date = self._server_date(response)
        except (TimeoutError, httpx2.TimeoutException):
            raise SourceUnavailable(f"no answer within {self._timeout_s:g} s") from None
        except httpx2.DecodingError:
            raise AnswerUnusable("the answer's compression is damaged") from None
        except httpx2.TransportError as error:
            text = self._wallet.scrub(str(error)) or "no reason given"
            raise SourceUnavailable(f"{type(error).__name__}: {text}") from None
        return self._read(body, date)

    async def _refusal(self, response: httpx2.Response) -> SourceUnavailable | SourceRefused:
        status = response.status_code
        if response.is_redirect:
            return SourceRefused(
                f"HTTP {status}: redirects to {_host(response.headers.get('location', ''))}, "
                "which is not followed; name the final address in the URL",
                status=status,
            )
        text = f"HTTP {status}: {self._wallet.scrub(await _error_text(response))}"
        if status == httpx2.codes.TOO_MANY_REQUESTS or status >= httpx2.codes.INTERNAL_SERVER_ERROR:
            return SourceUnavailable(text, retry_after_s=_retry_after_s(response))
        return SourceRefused(text, status=status)

    def _read(self, body: bytes, date: datetime | None) -> Reply:
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            start = self._wallet.scrub(_one_line(body[:60].decode(errors="replace")))
            raise AnswerUnusable(f"not JSON, {len(body)} bytes that begin with: {start}") from None
        if not isinstance(answer, dict) or answer.get("status") != "success":
            raise AnswerUnusable("JSON, but not with the status `success` that Prometheus' answers have")
        data, warnings = answer.get("data"), answer.get("warnings") or []
        if not isinstance(data, dict) or not isinstance(warnings, list):
            raise AnswerUnusable("JSON, but without the `data` object that Prometheus' answers have")
        if answer.get("isPartial") is True:
            warnings = [*warnings, "isPartial"]
        texts = tuple(self._wallet.scrub(_one_line(str(warning))) for warning in warnings)
        for text in texts:
            self._warn_once(f"warning {text}", "prometheus_warns", text=text)
        return Reply(data, texts, date)

    def _server_date(self, response: httpx2.Response) -> datetime | None:
        date = _date(response.headers.get("date"))
        # A replayed clock is apart from the server's on purpose.
        if date is not None and isinstance(self._clock, SystemClock):
            self.skew_s = (date - self._clock.now()).total_seconds()
            if abs(self.skew_s) > _SKEW_WORTH_A_WORD_S:
                self._warn_once("skew", "clock_skew", server_ahead_s=round(self.skew_s))
        return date

    def _warn_once(self, key: str, event: str, **told: object) -> None:
        if key not in self._warned and len(self._warned) < 100:
            self._warned.add(key)
            _log.warning(event, **told)


def _checked(url: str) -> str:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise SettingsError([Problem("prometheus.url", str(error), _URL_WANTED)]) from None
    if parsed.userinfo:
        raise SettingsError(
            [Problem("prometheus.url", "carries a user or password", "must not; they go to auth, by file")]
        )
    if parsed.scheme not in {"http", "https"} or not parsed.host or parsed.query or parsed.fragment:
        raise SettingsError(
            [Problem("prometheus.url", f"{parsed.scheme}://{parsed.host}{parsed.path}", _URL_WANTED)]
        )
    return str(parsed).rstrip("/")


def _host(location: str) -> str:
    # Only the host: a path or query may carry a login's state.
    try:
        return httpx2.URL(location).host or "its own host"
    except httpx2.InvalidURL:
        return "something that is no URL"


async def _body(response: httpx2.Response, limit: int) -> bytes:
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > limit:
            raise AnswerUnusable(f"the answer is larger than {limit} bytes; ask for less, or raise the limit")
    return bytes(body)


async def _error_text(response: httpx2.Response) -> str:
    try:
        body = await _body(response, _ERROR_BODY_BYTES)
    except AnswerUnusable:
        return "an error text too long to read"
    try:
        answer = json.loads(body)
        text = f"{answer['errorType']}: {answer['error']}"
    except (ValueError, RecursionError, KeyError, TypeError):
        text = body.decode(errors="replace")
        if "<html" in text.lower():
            text = "an HTML page"
    return _one_line(text) or response.reason_phrase


def _one_line(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _ERROR_TEXT_CHARS else f"{line[:_ERROR_TEXT_CHARS]}..."


def _retry_after_s(response: httpx2.Response) -> float | None:
    told = response.headers.get("retry-after", "").strip()
    if told.isdecimal():
        return float(told[:9])
    until, date = _date(told), _date(response.headers.get("date"))
    if until is None or date is None:
        return None
    # Against the server's own clock: ours may differ.
    return max(0.0, (until - date).total_seconds())


def _date(text: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo is not None else found.replace(tzinfo=UTC)
