"""Serving: requests arrive, are put into batches and run on a simulated system; latency, throughput and energy by load.

>>> from accelsim.explore.serve import Batching, Demand, ServiceTimes, serve_times
>>> times = ServiceTimes.from_arrays({(1, 0): 100.0})
>>> found = serve_times({"mine": times}, Demand(rates=(5000.0,), requests=20000), Batching())
>>> round(found.schemes[0].capacity_per_s)
10000
"""

from accelsim.explore.serve.arrivals import Arrivals, Lengths, Traffic, read_trace
from accelsim.explore.serve.batching import Batching
from accelsim.explore.serve.load import Demand, serve, serve_times
from accelsim.explore.serve.queue import Served, run_queue
from accelsim.explore.serve.search import LargestLoad
from accelsim.explore.serve.services import ServiceTimes
from accelsim.explore.serve.serving import Serving

__all__ = [
    "Arrivals",
    "Batching",
    "Demand",
    "LargestLoad",
    "Lengths",
    "Served",
    "ServiceTimes",
    "Serving",
    "Traffic",
    "read_trace",
    "run_queue",
    "serve",
    "serve_times",
]
