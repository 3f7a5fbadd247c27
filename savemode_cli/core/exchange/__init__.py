"""
One request and its answer: what is known, observed, captured and summed.
"""
