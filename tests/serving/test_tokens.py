"""Who may write: the file of tokens, and what becomes of a request when it changes."""

import hmac
import os
from pathlib import Path

import pytest

from predictscale.errors import FileUnusable, SettingsError
from predictscale.serving.tokens import SHORTEST, WriteTokens

ANN, BOB = "ann-0123456789abcdef", "bob-0123456789abcdef"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "tokens"
    found.write_text(f"# who may announce\n\nann {ANN}\n{BOB}\n")
    return found


def rewritten(path: Path, text: str) -> None:
    """Replaced as Kubernetes does it: a new file under the old name."""
    fresh = path.with_name("fresh")
    fresh.write_text(text)
    fresh.replace(path)


def test_a_token_is_known_by_its_name_if_it_has_one(path: Path) -> None:
    tokens = WriteTokens(path)
    assert tokens.owner(ANN) == "ann"
    assert tokens.owner(BOB) == "unnamed token"


@pytest.mark.parametrize(
    "wrong", ["", "ann", ANN[:-1], ANN + "x", ANN.upper(), f"ann {ANN}", "é" * 20, "\udcff"]
)
def test_nothing_but_the_whole_token_is_good(path: Path, wrong: str) -> None:
    assert WriteTokens(path).owner(wrong) is None


def test_a_token_that_is_taken_out_is_refused_from_the_next_request_on(path: Path) -> None:
    tokens = WriteTokens(path)
    rewritten(path, f"bob {BOB}\n")
    assert tokens.owner(ANN) is None
    assert tokens.owner(BOB) == "bob"


def test_a_file_rewritten_in_place_with_the_same_length_is_read_again(path: Path) -> None:
    tokens = WriteTokens(path)
    other = ANN[::-1]
    path.write_text(path.read_text().replace(ANN, other))
    os.utime(path, ns=(1, 1))
    assert tokens.owner(ANN) is None
    assert tokens.owner(other) == "ann"


@pytest.mark.parametrize(
    "content", [None, "", "# nobody\n", f"ann {ANN} more", "short", "ann short", "a b\x00c"]
)
def test_while_the_file_cannot_be_used_nobody_may_write_and_it_recovers(
    path: Path, content: str | None
) -> None:
    tokens = WriteTokens(path)
    path.unlink() if content is None else rewritten(path, content)
    for _ in range(2):  # a fault that was seen once is not forgotten
        with pytest.raises(FileUnusable):
            tokens.owner(ANN)
    rewritten(path, f"{ANN}\n")
    assert tokens.owner(ANN) == "unnamed token"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"x" * (SHORTEST - 1), b"two words more"])
def test_a_file_without_a_good_token_stops_the_service_at_its_start(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tokens"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"http\.write_token_file"):
        WriteTokens(path)
    with pytest.raises(SettingsError, match="No such file"):
        WriteTokens(tmp_path / "missing")


def test_no_message_repeats_what_stands_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    for content in ("hunter2", "ann hunter2", "ann hunter2 hunter2", "hunter2!?"):
        path.write_text(content)
        with pytest.raises(SettingsError) as wrong:
            WriteTokens(path)
        assert "hunter2" not in str(wrong.value)


def test_every_token_is_compared_in_constant_time_whichever_is_right(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[int, int]] = []
    honest = hmac.compare_digest

    def counted(known: bytes, given: bytes) -> bool:
        compared.append((len(known), len(given)))
        return honest(known, given)

    monkeypatch.setattr(hmac, "compare_digest", counted)
    tokens = WriteTokens(path)
    for token in (ANN, BOB, "x", "y" * 500):
        compared.clear()
        tokens.owner(token)
        assert compared == [(32, 32), (32, 32)]
