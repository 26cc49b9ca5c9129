"""Load tests: streams under many users (locust), and the cost per request and event beside nginx and HAProxy.

    python -m loadtest.run --shape steady --users 50 --seconds 20     locust against `gateway demo`, on free ports
    python -m loadtest.bench                                          gateway, nginx, HAProxy in one interleaved run
    python -m loadtest.scorecard                                      every fault of the demo provider, judged
    python -m loadtest.soak --requests 200000                         memory and gauges after very many requests

All start what they measure, end it by its process id, write a report to ``results/``, and refuse any host but the
loopback. ``run`` asks *is every stream whole, and how late*; ``bench`` asks *what does one unit cost*; ``scorecard``
asks *what does a client see of a fault*; ``soak`` asks *does anything stay behind*.
"""
