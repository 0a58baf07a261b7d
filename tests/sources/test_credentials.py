"""Secrets reach Prometheus, follow their files, and reach nothing else."""

import base64
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
import trustme

from fault_proxy import FaultProxy, Respond
from predictscale.clock import ManualClock
from predictscale.core.demand import Signal, SignalName
from predictscale.errors import FileUnusable, SettingsError, SourceRefused, SourceUnavailable
from predictscale.meters import Meters
from predictscale.sources.prometheus import Basic, Bearer, PrometheusSource, Tls

TOKEN = "s3cret-token-of-the-owner"  # noqa: S105 - a stand-in for one
NOW = datetime(2024, 3, 4, tzinfo=UTC)
DEMAND = Signal(SignalName.DEMAND, "up", "requests/s")


def new_source(url: str, **settings: Any) -> PrometheusSource:
    return PrometheusSource(
        url=url, meters=Meters(), clock=ManualClock(NOW), **{"retries": 0, "backoff_s": 0.001, **settings}
    )


@asynccontextmanager
async def source_of(url: str, **settings: Any) -> AsyncGenerator[PrometheusSource]:
    source = new_source(url, **settings)
    try:
        yield source
    finally:
        await source.aclose()


async def ask(source: PrometheusSource) -> None:
    await source.read(DEMAND, start=NOW - timedelta(minutes=1), end=NOW, step_s=60)


def secret_file(folder: Path, text: str = f"{TOKEN}\n") -> Path:
    path = folder / "secret"
    path.write_text(text, encoding="utf-8")
    return path


async def test_a_token_is_sent_as_bearer(tmp_path: Path) -> None:
    async with (
        FaultProxy() as proxy,
        source_of(proxy.url, auth=Bearer(token_file=secret_file(tmp_path))) as source,
    ):
        await ask(source)
        assert proxy.requests[0].headers["authorization"] == f"Bearer {TOKEN}"


async def test_a_password_is_sent_as_basic(tmp_path: Path) -> None:
    auth = Basic(username="keda", password_file=secret_file(tmp_path, "pässwort"))
    async with FaultProxy() as proxy, source_of(proxy.url, auth=auth) as source:
        await ask(source)
        scheme, pair = proxy.requests[0].headers["authorization"].split()
        assert (scheme, base64.b64decode(pair).decode()) == ("Basic", "keda:pässwort")


async def test_a_rotated_token_is_used_by_the_next_question(tmp_path: Path) -> None:
    file = secret_file(tmp_path)
    async with FaultProxy() as proxy, source_of(proxy.url, auth=Bearer(token_file=file)) as source:
        await ask(source)
        fresh = tmp_path / "fresh"
        fresh.write_text("another-token")
        fresh.replace(file)
        await ask(source)
        sent = [request.headers["authorization"] for request in proxy.requests]
        assert sent == [f"Bearer {TOKEN}", "Bearer another-token"]


async def test_a_tenant_s_header_is_sent() -> None:
    async with FaultProxy() as proxy, source_of(proxy.url, headers={"X-Scope-OrgID": "team-a"}) as source:
        await ask(source)
        assert proxy.requests[0].headers["x-scope-orgid"] == "team-a"


@pytest.mark.parametrize("status", [401, 503])
async def test_a_server_that_echoes_a_secret_does_not_get_it_into_our_errors(
    tmp_path: Path, status: int
) -> None:
    pair = base64.b64encode(f"keda:{TOKEN}".encode())
    echo = Respond(status, b"bad " + TOKEN.encode() + b" or " + pair + b" or key-of-the-tenant")
    auth = Basic(username="keda", password_file=secret_file(tmp_path))
    headers = {"X-Api-Key": "key-of-the-tenant"}
    async with FaultProxy() as proxy, source_of(proxy.url, auth=auth, headers=headers) as source:
        proxy.plan.append(echo)
        with pytest.raises((SourceRefused, SourceUnavailable)) as told:
            await ask(source)
        assert str(told.value) == f"HTTP {status}: bad *** or *** or ***"
        assert TOKEN not in repr(source) + repr(auth)


@pytest.mark.parametrize("text", ["", "\n", "two\nlines", "not\u00e4scii", "bell\a"])
async def test_a_file_that_holds_no_token_is_named_and_its_content_is_not(tmp_path: Path, text: str) -> None:
    auth = Bearer(token_file=secret_file(tmp_path, text))
    async with FaultProxy() as proxy, source_of(proxy.url, auth=auth) as source:
        with pytest.raises(SourceUnavailable, match="secret must hold") as told:
            await ask(source)
        assert not text.strip() or text.strip() not in str(told.value)
        assert proxy.requests == []


async def test_a_missing_secret_holds_and_recovers(tmp_path: Path) -> None:
    async with (
        FaultProxy() as proxy,
        source_of(proxy.url, auth=Bearer(token_file=tmp_path / "secret")) as source,
    ):
        with pytest.raises(SourceUnavailable, match="secret cannot be read"):
            await ask(source)
        secret_file(tmp_path)
        await ask(source)
        assert len(proxy.requests) == 1


@pytest.mark.parametrize(
    "url",
    [
        f"http://keda:{TOKEN}@prometheus:9090",
        f"http://prometheus:9090/?token={TOKEN}",
        "ftp://x",
        "x",
        "http://prometheus:port",
    ],
)
def test_a_url_that_is_none_or_carries_a_secret_is_refused_without_it(url: str) -> None:
    with pytest.raises(SettingsError, match=r"prometheus\.url: ") as told:
        new_source(url)
    assert TOKEN not in str(told.value)


@pytest.mark.parametrize("value", ["two\r\nlines", "ümlaut"])
def test_a_header_that_cannot_be_one_is_refused_without_its_value(value: str) -> None:
    with pytest.raises(SettingsError, match=r"headers\.'X-Scope-OrgID'") as told:
        new_source("http://prometheus:9090", headers={"X-Scope-OrgID": value})
    assert value not in str(told.value)


class Certificates:
    """A CA, a server's context that asks for a client's certificate, and files for the client."""

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.folder = folder
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert("127.0.0.1").configure_cert(self.server)
        self.ca.configure_trust(self.server)
        self.server.verify_mode = ssl.CERT_REQUIRED
        self.write_client(self.ca)

    def write_client(self, issuer: trustme.CA) -> None:
        client = issuer.issue_cert("client@example.org")
        client.private_key_pem.write_to_path(str(self.folder / "key.pem"))
        client.cert_chain_pems[0].write_to_path(str(self.folder / "cert.pem"))
        self.ca.cert_pem.write_to_path(str(self.folder / "ca.pem"))

    @property
    def tls(self) -> Tls:
        return Tls(
            ca_file=self.folder / "ca.pem",
            cert_file=self.folder / "cert.pem",
            key_file=self.folder / "key.pem",
        )


async def test_mutual_tls_is_spoken_with_the_owner_s_certificates(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    async with (
        FaultProxy(tls=certificates.server) as proxy,
        source_of(proxy.url, tls=certificates.tls) as source,
    ):
        await ask(source)
        assert len(proxy.requests) == 1


async def test_rotated_certificates_are_used_by_the_next_connection(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    certificates.write_client(trustme.CA())  # one that the server does not trust
    async with (
        FaultProxy(tls=certificates.server) as proxy,
        source_of(proxy.url, tls=certificates.tls) as source,
    ):
        with pytest.raises(SourceUnavailable):
            await ask(source)
        certificates.write_client(certificates.ca)
        await ask(source)
        assert len(proxy.requests) == 1


async def test_half_of_a_rotation_is_said_and_does_not_stop_the_questions(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    async with (
        FaultProxy(tls=certificates.server) as proxy,
        source_of(proxy.url, tls=certificates.tls) as source,
    ):
        (tmp_path / "key.pem").write_text("half of a")
        with structlog.testing.capture_logs() as logs:
            await ask(source)
        assert [line["event"] for line in logs] == ["tls_files_not_reloaded"]
        assert len(proxy.requests) == 1


async def test_a_server_that_nobody_vouches_for_is_not_trusted_unless_told_so(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    certificates.server.verify_mode = ssl.CERT_NONE
    async with FaultProxy(tls=certificates.server) as proxy:
        async with source_of(proxy.url) as source:
            with pytest.raises(SourceUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
                await ask(source)
        assert proxy.requests == []
        async with source_of(proxy.url, tls=Tls(insecure=True)) as source:
            await ask(source)
        assert len(proxy.requests) == 1


def test_certificates_that_are_not_there_are_named_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(FileUnusable, match=r"ca\.pem"):
        new_source("https://prometheus:9090", tls=Tls(ca_file=tmp_path / "ca.pem"))
