"""TLS and mTLS on the gRPC port, and certificates that change while it serves."""

import os
import shutil
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from structlog.testing import capture_logs

from certificates import Authority
from fake_desk import FakeDesk, decision, served
from keda_client import EmptyMetricSpec, ScaledObject, keda
from predictscale._proto import externalscaler_pb2 as pb
from predictscale.errors import SettingsError
from predictscale.serving.tls import ReloadingCertificates, TlsFiles, server_credentials

CHAT = ScaledObject()


@pytest.fixture
def authority() -> Authority:
    return Authority()


async def _value(port: int, credentials: grpc.ChannelCredentials | None) -> float:
    """What a client without an open connection is told."""
    async with keda(f"127.0.0.1:{port}", credentials=credentials) as client:
        return (await client.poll(CHAT))[0].value


async def _refused(port: int, credentials: grpc.ChannelCredentials | None) -> None:
    with pytest.raises(EmptyMetricSpec, match="UNAVAILABLE"):
        await _value(port, credentials)


async def test_a_client_that_trusts_the_authority_is_served_and_others_turn_away(
    authority: Authority, tmp_path: Path
) -> None:
    credentials = server_credentials(authority.write(tmp_path))
    async with served(FakeDesk(published=3), credentials=credentials) as server:
        assert await _value(server.port, authority.client()) == 3.0
        await _refused(server.port, Authority().client())


async def test_plaintext_to_a_tls_port_is_refused_and_tls_to_a_plaintext_port_too(
    authority: Authority, tmp_path: Path
) -> None:
    desk = FakeDesk(published=3)
    async with served(desk, credentials=server_credentials(authority.write(tmp_path))) as server:
        await _refused(server.port, None)
        assert await _value(server.port, authority.client()) == 3.0
    async with served(desk) as server:
        await _refused(server.port, authority.client())


async def test_mtls_serves_only_clients_of_the_named_authority(authority: Authority, tmp_path: Path) -> None:
    operators = Authority()
    credentials = server_credentials(authority.write(tmp_path, clients=operators))
    desk = FakeDesk(published=3)
    async with served(desk, credentials=credentials) as server:
        assert await _value(server.port, authority.client(identity=operators)) == 3.0
        asked = len(desk.asked)
        await _refused(server.port, authority.client())
        await _refused(server.port, authority.client(identity=Authority()))
        await _refused(server.port, authority.client(identity=authority))
        assert len(desk.asked) == asked


async def test_new_certificates_serve_new_connections_while_the_old_one_stays_open(
    authority: Authority, tmp_path: Path
) -> None:
    desk = FakeDesk(published=3)
    async with (
        served(desk, credentials=server_credentials(authority.write(tmp_path))) as server,
        keda(f"127.0.0.1:{server.port}", credentials=authority.client()) as old,
    ):
        stream = old.stub.StreamIsActive(CHAT.ref)
        assert await stream.read() == pb.IsActiveResponse(result=True)
        successor = Authority()
        successor.write(tmp_path)
        assert await _value(server.port, successor.client()) == 3.0
        await _refused(server.port, authority.client())
        desk.publish(decision(0))
        assert await stream.read() == pb.IsActiveResponse(result=False)
        assert (await old.poll(CHAT))[0].value == 0.0
        assert old.rebuilds == 0


async def test_a_new_authority_of_clients_is_picked_up(authority: Authority, tmp_path: Path) -> None:
    before, after = Authority(), Authority()
    files = authority.write(tmp_path, clients=before)
    async with served(FakeDesk(published=3), credentials=server_credentials(files)) as server:
        assert await _value(server.port, authority.client(identity=before)) == 3.0
        assert files.client_ca is not None
        files.client_ca.write_bytes(after.pem)
        assert await _value(server.port, authority.client(identity=after)) == 3.0
        await _refused(server.port, authority.client(identity=before))


async def test_a_broken_pair_keeps_the_old_one_and_is_logged_once(
    authority: Authority, tmp_path: Path
) -> None:
    files = authority.write(tmp_path)
    async with served(FakeDesk(published=3), credentials=server_credentials(files)) as server:
        with capture_logs() as logs:
            files.key.write_bytes(b"-----BEGIN PRIVATE KEY-----\nhunter2\n")
            for _ in range(3):
                assert await _value(server.port, authority.client()) == 3.0
            assert [line["event"] for line in logs] == ["tls_certificates_unusable"]
            assert "hunter2" not in str(logs)
            successor = Authority()
            successor.write(tmp_path)
            assert await _value(server.port, successor.client()) == 3.0
            assert logs[-1]["event"] == "tls_certificates_reloaded"


@pytest.fixture
def files(authority: Authority, tmp_path: Path) -> TlsFiles:
    return authority.write(tmp_path / "live", clients=authority)


@pytest.mark.parametrize("which", ["certificate", "key", "client_ca"])
@pytest.mark.parametrize("content", [None, b"", b"no PEM at all", "größe".encode()])
def test_files_that_cannot_be_used_are_a_settings_error_at_the_start(
    files: TlsFiles, which: str, content: bytes | None
) -> None:
    path: Path = getattr(files, which)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=f"tls: .*{path.name}"):
        server_credentials(files)


def test_a_key_of_another_certificate_is_refused(files: TlsFiles, tmp_path: Path) -> None:
    other = Authority().write(tmp_path / "other")
    shutil.copy(other.key, files.key)
    with pytest.raises(SettingsError, match="mismatch"):
        ReloadingCertificates(files).load()


def test_a_key_with_a_passphrase_is_refused_without_asking_for_it(files: TlsFiles) -> None:
    key = serialization.load_pem_private_key(files.key.read_bytes(), password=None)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(SettingsError, match="the key is encrypted with a passphrase"):
        ReloadingCertificates(files).load()


def test_unchanged_files_are_not_read_again(files: TlsFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    certificates = ReloadingCertificates(files)
    certificates.load()
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"read {path}"))
    assert certificates.changed() is None


def test_a_turned_link_is_a_change_even_if_size_and_time_are_equal(
    authority: Authority, tmp_path: Path
) -> None:
    # Kubernetes mounts a Secret as a link to a folder, and replaces the link.
    authority.write(tmp_path / "v1")
    shutil.copytree(tmp_path / "v1", tmp_path / "v2")
    for path in tmp_path.glob("v*/*"):
        os.utime(path, ns=(0, 0))
    link = tmp_path / "data"
    link.symlink_to("v1")
    certificates = ReloadingCertificates(TlsFiles(certificate=link / "tls.crt", key=link / "tls.key"))
    certificates.load()
    assert certificates.changed() is None
    link.unlink()
    assert certificates.changed() is None  # between the two, nothing is there: the old pair stays
    link.symlink_to("v2")
    assert certificates.changed() is not None
    assert certificates.changed() is None


def test_files_replaced_while_they_are_read_are_tried_again_later(
    files: TlsFiles, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in files.all:
        os.utime(path, ns=(0, 0))  # what is written within a tick of the kernel's clock has one time
    certificates = ReloadingCertificates(files)
    certificates.load()
    authority.write(files.key.parent, clients=authority)
    read = Path.read_bytes

    def replace_meanwhile(path: Path) -> bytes:
        content = read(path)
        os.utime(files.key, ns=(1, 1))
        return content

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", replace_meanwhile)
        assert certificates.changed() is None
    assert certificates.changed() is not None
