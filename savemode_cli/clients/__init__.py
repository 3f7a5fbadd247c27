"""
The clients that savemode knows: what each of them reads, and how a command of one is run through the proxy.
"""
