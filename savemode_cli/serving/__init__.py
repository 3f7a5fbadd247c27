"""
What the proxy and the simulated upstream share: the HTTP server, access control, and settings of the process.
"""
