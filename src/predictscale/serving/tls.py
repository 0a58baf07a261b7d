"""TLS for the gRPC port, with certificates that may be replaced while it serves.

Certificates live for hours or months and this process may live longer. Each
new connection therefore looks at the files first; open connections keep what
they began with. A pair that cannot be used never replaces one that can.
TLS 1.2 is the least that gRPC offers, and the key never leaves this process.
"""

import os
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc
import structlog

from predictscale.errors import Problem, SettingsError

_log = structlog.get_logger(__name__)

_Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Where the PEM files are.

    Args:
        certificate: The server's certificate, then its intermediates.
        key: Its private key, without a passphrase.
        client_ca: If given, only clients with a certificate signed by one of these are served (mTLS).
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None

    @property
    def all(self) -> tuple[Path, ...]:
        """Every file that is read."""
        given = (self.certificate, self.key)
        return given if self.client_ca is None else (*given, self.client_ca)


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Credentials that follow the files.

    Raises:
        SettingsError: A file cannot be read, or the three do not make a usable whole.
    """
    certificates = ReloadingCertificates(files)
    return grpc.dynamic_ssl_server_credentials(
        certificates.load(),
        certificates.changed,  # type: ignore[arg-type]  # None means "as before"; the stub does not know
        require_client_authentication=files.client_ca is not None,
    )


class ReloadingCertificates:
    """Reads the files once, and again whenever a handshake finds them changed."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._seen: _Stamp | None = None
        self._logged: _Stamp | str | None = None

    def load(self) -> grpc.ServerCertificateConfiguration:
        """The files as they are.

        Raises:
            SettingsError: They are missing, unreadable, or do not belong together.
        """
        try:
            stamp, configuration = self._read()
        except (OSError, ValueError) as error:
            raise SettingsError([_problem(self._files, error)]) from error
        self._seen = stamp
        return configuration

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """What to serve from now on, or None to go on as before. gRPC asks before each handshake."""
        stamp: _Stamp | None = None
        try:
            stamp = self._stamp()
            if stamp == self._seen:
                return None
            stamp, configuration = self._read()
        except (OSError, ValueError) as error:
            self._keep_old(stamp, error)
            return None
        self._seen, self._logged = stamp, None
        _log.info("tls_certificates_reloaded", certificate=str(self._files.certificate))
        return configuration

    def _keep_old(self, stamp: _Stamp | None, error: Exception) -> None:
        """Say once per broken state that the old pair stays."""
        state = stamp if stamp is not None else str(error)
        if state != self._logged:
            self._logged = state
            _log.error(
                "tls_certificates_unusable", problem=str(_problem(self._files, error)), keeps="the old"
            )

    def _stamp(self) -> _Stamp:
        """What changes when a file is written, replaced, or its link is turned elsewhere."""
        stats = [os.stat(path) for path in self._files.all]  # noqa: PTH116 - twice as fast, per handshake
        return tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in stats)

    def _read(self) -> tuple[_Stamp, grpc.ServerCertificateConfiguration]:
        """Read and check the files.

        Raises:
            OSError: A file cannot be read.
            ValueError: They changed meanwhile, or make no usable whole (ssl.SSLError is an OSError).
        """
        files, before = self._files, self._stamp()
        certificate, key = files.certificate.read_bytes(), files.key.read_bytes()
        client_ca = None if files.client_ca is None else files.client_ca.read_bytes()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certificate, files.key, password=_refuse_passphrase)
        if client_ca is not None:
            context.load_verify_locations(cadata=client_ca.decode("ascii"))
        # OpenSSL read the files by itself; unchanged stamps say that it saw the same bytes.
        if self._stamp() != before:
            raise ValueError("the files are being replaced")
        pairs = [(key, certificate)]
        return before, grpc.ssl_server_certificate_configuration(pairs, root_certificates=client_ca)


def _refuse_passphrase() -> str:
    """Stand where OpenSSL would otherwise stop and ask the terminal."""
    raise ValueError("the key is encrypted with a passphrase")


def _problem(files: TlsFiles, error: Exception) -> Problem:
    return Problem(
        where="tls",
        got=", ".join(str(path) for path in files.all),
        wants="readable PEM files: a certificate, its own key, and the clients' CA if one is set",
        why=str(error),
    )
