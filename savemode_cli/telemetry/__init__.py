"""
Events about the traffic, for those who want to see it elsewhere: PostHog, a file, the terminal.

Rule of this package: a request never waits for it and never fails of it. The event loop hands a record over; what is made
of it and where it goes is a thread's business, whose troubles are counted, said once, and shown in `/-/health`.
"""
