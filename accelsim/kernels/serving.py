"""Servers that take requests in batches from one queue, compiled. Its specification is `accelsim.explore.serve.twin`.

Rules, in the order in which they hold:

1. Requests that arrive on a tick are there, and servers that end on it are idle, before anything is decided on it.
2. A bucket is ready when it holds a full batch, or its oldest request has waited for the timeout.
3. While a server is idle and a bucket ready, the one with the oldest request is served: as many of its requests as
   wait, up to a batch. Servers are alike, so that it does not matter which one takes it.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_NEVER = 2**63 - 1


@njit(cache=True, nogil=True)
def serve_batches(
    times: Ints,
    buckets: Ints,
    draws: Floats,
    batch: int,
    timeout: int,
    first: Ints,
    count: Ints,
    outcomes: Ints,
    servers: int,
) -> tuple[Ints, Ints, Ints]:
    """Serve requests, batch by batch.

    Parameters
    ----------
    times : int64 [requests]
        When each arrives, in picoseconds, ascending.
    buckets : int64 [requests]
        Which bucket each belongs to.
    draws : float64 [requests]
        From 0 up to but without 1: that of a batch's oldest request chooses the batch's outcome.
    batch, timeout : int
        Largest batch, and picoseconds that a request waits for others while a server is idle.
    first, count : int64 [batch + 1, buckets]
        Where the outcomes of a size and bucket begin, and how many there are.
    outcomes : int64 [outcomes]
        Picoseconds of service, positive.
    servers : int

    Returns
    -------
    batch_of : int64 [requests]
        Index of each request's batch.
    starts, chosen : int64 [batches]
        When each batch starts, and the index of its outcome.
    """
    requests, kinds = len(times), first.shape[1]
    order = np.argsort(buckets, kind="mergesort")
    head = np.zeros(kinds, np.int64)
    for index in range(requests):
        if buckets[index] + 1 < kinds:
            head[buckets[index] + 1] += 1
    head = np.cumsum(head)
    tail = head.copy()
    batch_of = np.empty(requests, np.int64)
    starts, chosen = np.empty(requests, np.int64), np.empty(requests, np.int64)
    free = np.zeros(servers, np.int64)
    now, arrived, served, batches = 0, 0, 0, 0
    while served < requests:
        server = np.argmin(free)
        now = max(now, free[server])
        while arrived < requests and times[arrived] <= now:
            tail[buckets[arrived]] += 1
            arrived += 1
        bucket, oldest, wake = -1, requests, _NEVER
        for kind in range(kinds):
            if tail[kind] == head[kind]:
                continue
            request = order[head[kind]]
            deadline = int(times[request]) + timeout
            if tail[kind] - head[kind] >= batch or deadline <= now:
                if request < oldest:
                    bucket, oldest = kind, request
            elif deadline < wake:
                wake = deadline
        if bucket < 0:
            if arrived < requests and times[arrived] < wake:
                wake = int(times[arrived])
            now = wake
            continue
        size = min(batch, tail[bucket] - head[bucket])
        choice = first[size, bucket] + np.int64(draws[oldest] * count[size, bucket])
        starts[batches], chosen[batches] = now, choice
        for place in range(head[bucket], head[bucket] + size):
            batch_of[order[place]] = batches
        head[bucket] += size
        served += size
        batches += 1
        free[server] = now + outcomes[choice]
    return batch_of, starts[:batches].copy(), chosen[:batches].copy()
