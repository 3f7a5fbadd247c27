"""
The proxy: forwards each request to the upstream and its answer to the client. Only this package is asynchronous.

Rule of this package: it moves bytes and keeps their order. The core makes the decisions. Objects from other packages,
such as a log or a ledger, are passed in and not imported.
"""
