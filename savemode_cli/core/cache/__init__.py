"""
The model of the prompt cache: tokens, prompts, hits and misses.
"""
