"""
Why a prompt was not read from the cache: what changed, what that cost, and what to do about it.
"""
