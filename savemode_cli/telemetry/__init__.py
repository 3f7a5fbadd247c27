"""
Events about exchanges, for PostHog, a file or the terminal.

Rule of this package: no request waits for an event, and no request fails because of one. The event loop hands an exchange
over. A thread makes the event and delivers it. Its problems are counted, announced once, and shown in `/-/health`.
"""
