"""How often: at most ``capacity`` admissions per bucket in every interval of length W (TP-260 … TP-282).

Counts belong to the process, not to a configuration: they are keyed by stable names and survive a reload.

Glossary
    window      the arithmetic over one bucket's admissions (``window.py``, pure)
    log         the record of one bucket's admissions: a packed array of nanoseconds
    bucket      one key's log inside a limiter; the key is a SHA-256, never the text it was made from
    limiter     one ``rate-limit`` action's buckets (``buckets.py``)
    table       all limiters of the process; made by the application (TP-269)

Decisions (November 2026)
    *Exact log, not two counters.* A weighted pair of counters over-admits when the previous window was used
    late (TP-273). The exact decision is as cheap: a request is admitted if and only if the ``capacity``-th most
    recent admission lies outside the interval, which is one array element.
    *Integer nanoseconds.* Readings of the clock are rounded to the nanosecond, in which kernels count them, so that
    neither ``t - W`` nor a sum of small steps can round an admission into or out of the interval.
    *One process.* All requests of a node pass through one table on one event loop, so that counts are shared
    and decisions serialised without locks (TP-276). A second worker process would need a shared table.
"""
