"""Samples with instants of our choosing, written into a running Prometheus by its remote-write receiver.

A scrape is stamped with the time of life; what is written carries its own, so a day passes as
fast as it can be computed, and may still depend on what was decided on the way. On the wire it
is protobuf (`WriteRequest`) in a block of Snappy, which permits literals: nothing is compressed.

A series that was in one scrape and is not in the next ends there, as for any scraped target: a
marker says so, else queries would go on to see it for five minutes.
"""

import struct
from collections.abc import Collection, Mapping
from datetime import datetime

import httpx2

from patience import WITHIN_S
from predictscale.simulate.engine.families import Families
from predictscale.simulate.engine.record import SeriesKey

_ENDED = struct.pack("<Q", 0x7FF0000000000002)
"""The NaN by which Prometheus knows the end of a series."""
_value = struct.Struct("<d").pack

Samples = Mapping[SeriesKey, bytes]
"""By series: its samples in the order of time, as they go over the wire."""


class Scraped:
    """The scrapes of one target that are not written yet.

    Args:
        drop: Families that are not kept, as a relabelling rule would have it.
    """

    def __init__(self, *, drop: Collection[str] = ()) -> None:
        self._drop = frozenset(drop)
        self._held: dict[SeriesKey, list[bytes]] = {}
        self._last: set[SeriesKey] = set()

    def look(self, at: datetime, families: Families) -> None:
        """Take in one scrape; scrapes come in the order of time."""
        stamp = b"\x10" + varint(round(at.timestamp() * 1000))
        # Of a sample only the value differs from the others of its scrape.
        head = b"\x12" + varint(9 + len(stamp)) + b"\x09"
        held, seen = self._held, set()
        for family in families.collect():
            if family.name in self._drop:
                continue
            for sample in family.samples:
                key = (sample.name, tuple(sample.labels.items()))
                seen.add(key)
                held.setdefault(key, []).append(head + _value(sample.value) + stamp)
        for key in self._last - seen:
            held.setdefault(key, []).append(head + _ENDED + stamp)
        self._last = seen

    def take(self) -> Samples:
        """What was not taken before."""
        held, self._held = self._held, {}
        return {key: b"".join(samples) for key, samples in held.items()}


def relabelled(samples: Samples, **labels: str) -> Samples:
    """The same samples of series that carry other values of these labels."""
    return {
        (name, tuple((label, labels.get(label, value)) for label, value in inside)): held
        for (name, inside), held in samples.items()
    }


def write(url: str, *every: Samples) -> None:
    """Write into the Prometheus at `url`; each series' samples are later than those it has."""
    request = b"".join(field(1, _labels(key) + held) for samples in every for key, held in samples.items())
    answer = httpx2.post(
        f"{url}/api/v1/write",
        content=snappy(request),
        headers={
            "Content-Encoding": "snappy",
            "Content-Type": "application/x-protobuf",
            "X-Prometheus-Remote-Write-Version": "0.1.0",
        },
        timeout=WITHIN_S,
        trust_env=False,
    )
    assert answer.status_code == 204, f"{answer.status_code}: {answer.text[:500]}"


def varint(number: int) -> bytes:
    """Protobuf's integer of variable length."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number: int, inside: bytes) -> bytes:
    """Protobuf's field of bytes; `number` is below 16."""
    return bytes([number << 3 | 2]) + varint(len(inside)) + inside


def snappy(payload: bytes) -> bytes:
    """A block of Snappy that is one literal."""
    if not payload:
        return varint(0)
    # 63: the literal's length less one follows in four bytes.
    return varint(len(payload)) + bytes([63 << 2]) + struct.pack("<I", len(payload) - 1) + payload


def _labels(key: SeriesKey) -> bytes:
    """Labels in the order of their names, the metric's own among them."""
    every = sorted([("__name__", key[0]), *key[1]])
    return b"".join(field(1, field(1, name.encode()) + field(2, value.encode())) for name, value in every)
