"""How much of everything requests may take, as shares of the memory that is free once the model is loaded."""

from __future__ import annotations

import msgspec

from gitops_ml.serving.samples import PER_SECOND, ROWS

MIB = 1 << 20


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of requests.

    Attributes:
        body_bytes: the largest body, also decompressed.
        bodies_bytes: all bodies and answers that are held at once.
        request_bytes: memory that reading and answering one request may take.
        inline_bytes: the largest body that is predicted in the event loop.
        connections: how many connections are open at once.
        body_seconds: how long a body may take to arrive.
        predict_seconds: how long one prediction may take.
        samples, samples_per_second: for `Samples`, the rows kept and the rows a second.
        poll_seconds: how often the subscribers of a published model ask.
    """

    body_bytes: int = 64 * MIB
    bodies_bytes: int = 128 * MIB
    request_bytes: int = 512 * MIB
    inline_bytes: int = 16 << 10
    connections: int = 1000
    body_seconds: float = 60.0
    predict_seconds: float = 60.0
    samples: int = ROWS
    samples_per_second: int = PER_SECOND
    poll_seconds: int = 20


def limits_within(free: int) -> Limits:
    """The default limits of a server that may still take `free` bytes of memory.

    An eighth for the largest body and a quarter for all bodies, half for the request that is answered, an eighth for
    connections of 64 KiB each: together less than what is free.
    """
    defaults = Limits()
    return Limits(
        body_bytes=min(defaults.body_bytes, max(MIB, free // 8)),
        bodies_bytes=max(2 * MIB, free // 4),
        request_bytes=max(4 * MIB, free // 2),
        connections=min(defaults.connections, max(16, free // 8 // (64 << 10))),
    )
