"""
The Messages API: its shape, its streams, its counters, and who is calling.
"""
