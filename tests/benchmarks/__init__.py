"""
How fast savemode is, beside what it is measured against; nothing in here asserts a time.

    python -m tests.benchmarks.transform    the edit of a request body, beside a copy and a search
    python -m tests.benchmarks.proxy        latency, throughput, streaming and memory, beside a plain pass-through
    python -m tests.benchmarks.cache        the model of the prompt cache: its speed, and how right it is on real traffic
    python -m tests.benchmarks.startup      `savemode --help`, beside an empty Python
    python -m tests.benchmarks.soak         10,000 requests of all kinds, 500 streams at once, 1,000 at a cap: leaks, and books
    python -m tests.benchmarks.simulated    the simulated upstream: requests per second of 2 KB, time and CPU of 1 MB
    python -m tests.benchmarks.stalls       the longest wait of a client beside another one's large body or 5,000 connections

`cache` takes no options. Each of the others takes `--quick` for a short run and `--json` for machines; `proxy` and `stalls` take
`--command` to measure another proxy in savemode's place, with `{port}` and `{upstream}` where they belong. Run them
from the project's root with nothing else going on; on a busy machine the milliseconds drift, and the ratios, taken from
interleaved runs, drift less.
"""
