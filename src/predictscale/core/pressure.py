"""Signs that replicas are full, whatever a law says that they carry.

A cache that overflows and a queue that does not drain are seen at once, where a law and a
forecast may be wrong for hours. They ask for more than what is READY, never for more than
what was wanted: replicas that start are on their way, and asking again at each tick
would buy them twice. Refuses to say anything of a fleet that is not told.
"""

import math

from predictscale.core.demand import Observation

KV_FULL = 0.9
"""Beyond this share of the cache, in the mean, requests are preempted."""
KV_WANTED = 0.8
"""What more replicas bring it back to; the spare that llm-d's saturation rule keeps."""
QUEUE_FULL = 5.0
"""Requests that wait for each ready replica, from which on none has room; llm-d's threshold too."""


def pressed(seen: Observation) -> tuple[int, str] | None:
    """The replicas that these signs ask for, and which; None if there is none."""
    ready = seen.fleet.ready
    if ready is None:
        return None
    signs = []
    if seen.kv_usage is not None and seen.kv_usage > KV_FULL:
        signs.append((seen.kv_usage / KV_WANTED, f"the KV cache is {seen.kv_usage:.0%} full"))
    if seen.waiting is not None and seen.waiting >= QUEUE_FULL * max(ready, 1):
        signs.append((1.0, f"{seen.waiting:,.0f} requests wait"))
    if not signs:
        return None
    words = " and ".join(words for _, words in signs)
    if ready == 0:
        return 1, f"{words}, and no replica is ready"
    wanted = max(math.ceil(ready * max(share for share, _ in signs)), ready + 1)
    return wanted, f"{words} on {ready} ready, which asks for {wanted}"
