"""
Files of recorded traffic, read into the core's values.

Rule of this package: a reader moves and never judges. It is told by content what a file is, reads it as a stream, counts
and names what it cannot read, and goes on.
"""
