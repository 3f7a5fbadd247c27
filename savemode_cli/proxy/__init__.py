"""
The road of a request: the only place where anything is asynchronous.

Rule of this package: move bytes and keep order; judgement lives in the core, and what is opened elsewhere (a log, a
ledger) is given, not imported.
"""
