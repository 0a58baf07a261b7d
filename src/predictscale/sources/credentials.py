"""How a source proves who it is: files with secrets, read again when they change.

Refuses to hold a secret where it could be printed: settings name files, and
`Wallet.scrub` takes every secret out of text that others wrote.
"""

import base64
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from predictscale.errors import FileUnusable, Problem, SettingsError, SourceUnavailable

_log = structlog.get_logger(__name__)

_Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """A token in a file, sent as `Authorization: Bearer`."""

    token_file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Basic:
    """A user's name, and the password in a file."""

    username: str
    password_file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Whom to trust, and how to be trusted.

    Args:
        ca_file: Certificates to trust instead of the system's.
        cert_file: Our own certificate, for mutual TLS.
        key_file: Its key; None if it stands in `cert_file`.
        insecure: Trust any server. For trying things out.
    """

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    insecure: bool = False


class Wallet:
    """The headers that a request carries, from the files as they are now."""

    def __init__(self, *, auth: Bearer | Basic | None, headers: Mapping[str, str]) -> None:
        for name, value in headers.items():
            # The HTTP library would quote a bad value in its error.
            if not (name.isascii() and name.isprintable() and value.isascii() and value.isprintable()):
                raise SettingsError(
                    [
                        Problem(
                            f"headers.{name!a}",
                            "holds more than visible ASCII characters",
                            "must be one line of them",
                        )
                    ]
                )
        self._auth = auth
        self._headers = dict(headers)
        self._seen: tuple[_Stamp, str] | None = None

    def headers(self) -> dict[str, str]:
        """The custom headers, and Authorization if there is a secret.

        Raises:
            SourceUnavailable: The file cannot be read, or holds no secret.
        """
        match self._auth:
            case None:
                return dict(self._headers)
            case Bearer():
                token = self._secret(self._auth.token_file)
                if not token.isascii():  # the HTTP library would quote it in its error
                    raise SourceUnavailable(f"{self._auth.token_file} must hold ASCII, and does not")
                return {**self._headers, "Authorization": f"Bearer {token}"}
            case Basic():
                pair = _pair(self._auth.username, self._secret(self._auth.password_file))
                return {**self._headers, "Authorization": f"Basic {pair}"}

    def scrub(self, text: str) -> str:
        """`text` without any secret that was sent: a server may echo what it refuses."""
        # A shorter header is a word that other text may hold.
        secrets = [value for value in self._headers.values() if len(value) >= 8]
        if self._seen is not None:
            secrets.append(self._seen[1])
            if isinstance(self._auth, Basic):
                secrets.append(_pair(self._auth.username, self._seen[1]))
        for secret in secrets:
            text = text.replace(secret, "***")
        return text

    def _secret(self, path: Path) -> str:
        try:
            stamp = _stamp(path)
            if self._seen is None or self._seen[0] != stamp:
                self._seen = (stamp, _one_line(path))
        except OSError as error:
            raise SourceUnavailable(f"{path} cannot be read: {error.strerror}") from None
        return self._seen[1]


class TlsKeeper:
    """One TLS context whose certificates follow their files, so that a rotation drops nothing."""

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._files = [file for file in (tls.ca_file, tls.cert_file, tls.key_file) if file is not None]
        try:
            self._stamps = self._now()
            self.context = ssl.create_default_context(cafile=tls.ca_file)
            if tls.insecure:
                self.context.check_hostname = False
                self.context.verify_mode = ssl.CERT_NONE
            self._load()
        except OSError as error:  # ssl.SSLError is one
            names = ", ".join(str(file) for file in self._files)
            raise FileUnusable(f"TLS files {names}: {error.strerror or error}") from None

    def refresh(self) -> None:
        """Load the files again if they changed; what does not load is left as it was, and said."""
        try:
            stamps = self._now()
            if stamps == self._stamps:
                return
            # Half of a rotation does not load; the next request tries again.
            self._load()
            if self._tls.ca_file is not None:
                self.context.load_verify_locations(cafile=self._tls.ca_file)
            self._stamps = stamps
        except OSError as error:
            _log.warning("tls_files_not_reloaded", files=[str(f) for f in self._files], error=str(error))

    def _load(self) -> None:
        if self._tls.cert_file is not None:
            self.context.load_cert_chain(self._tls.cert_file, self._tls.key_file)

    def _now(self) -> list[_Stamp]:
        return [_stamp(file) for file in self._files]


def _pair(username: str, password: str) -> str:
    return base64.b64encode(f"{username}:{password}".encode()).decode()


def _stamp(path: Path) -> _Stamp:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def _one_line(path: Path) -> str:
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        secret = ""
    if not secret or not secret.isprintable():
        raise SourceUnavailable(f"{path} must hold one line of visible characters, and does not")
    return secret
