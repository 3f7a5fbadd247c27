"""
The full-screen view of a running proxy.
"""
