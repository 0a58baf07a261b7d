"""Who may write over REST: bearer tokens in a file, read again when it changes.

A line is a token, or a name and a token; two lines are two tokens, so that one can be replaced
while both are good. `#` begins a comment. A token that is taken out of the file
is refused from the next request on, and so are all while the file cannot be read.

Refuses to hold tokens where they could be printed, and to tell by its timing how much of one
was right.
"""

import hashlib
import hmac
import re
from pathlib import Path

import structlog

from predictscale.errors import FileUnusable, Problem, SettingsError

_log = structlog.get_logger(__name__)

SETTING = "http.write_token_file"
SHORTEST = 16
"""Characters of the shortest token that is taken."""

_UNNAMED = "unnamed token"
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")  # RFC 6750, section 2.1
_NAME = re.compile(r"[\w.@-]{1,60}")

_Stamp = tuple[int, int, int]


class WriteTokens:
    """The tokens that are good now.

    Args:
        path: The file.

    Raises:
        SettingsError: It cannot be read, or holds no token.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: _Stamp | None = None
        self._digests: tuple[tuple[bytes, str], ...] = ()
        try:
            self._follow()
        except FileUnusable as fault:
            wants = f"must hold tokens of {SHORTEST} characters or more, one a line, perhaps after a name"
            raise SettingsError([Problem(SETTING, str(fault), wants)]) from None

    def owner(self, token: str) -> str | None:
        """The name of a token that is good; None of one that is not.

        Raises:
            FileUnusable: That cannot be told now. The message names no path and no token.
        """
        try:
            self._follow()
        except FileUnusable as fault:
            _log.warning("nobody may write", setting=SETTING, path=str(self._path), because=str(fault))
            raise
        given, found = _digest(token), None
        # All are compared, each in the same time, whichever is right.
        for digest, name in self._digests:
            if hmac.compare_digest(digest, given):
                found = name
        return found

    def _follow(self) -> None:
        """Read the file if it is not as it was when it was last read; what cannot be read lets nobody in."""
        try:
            now = self._path.stat()
            stamp = now.st_ino, now.st_mtime_ns, now.st_size
            if stamp == self._seen:
                return
            text = self._path.read_text(encoding="utf-8")
        except OSError as error:
            raise FileUnusable(f"cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise FileUnusable("is not text") from None
        self._digests = _tokens(text)
        self._seen = stamp


def _tokens(text: str) -> tuple[tuple[bytes, str], ...]:
    """Digests and names; a digest has the same length whatever its token's is."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        name, token = (_UNNAMED, words[0]) if len(words) == 1 else (words[0], words[1])
        if len(words) > 2 or not _TOKEN.fullmatch(token) or (name != _UNNAMED and not _NAME.fullmatch(name)):
            raise FileUnusable(f"line {number} is neither a token nor a name and a token")
        if len(token) < SHORTEST:
            raise FileUnusable(f"line {number} holds a token of {len(token)} characters, under {SHORTEST}")
        found.append((_digest(token), name))
    if not found:
        raise FileUnusable("holds no token")
    return tuple(found)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
