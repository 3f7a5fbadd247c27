"""
An upstream on loopback that answers as the Messages API does, with a prompt cache that is accounted for as there.

Rule of this package: nothing in here is about money or the proxy; it knows the API and nothing of who asks. Its tokens
are estimates, for no tokenizer is public, and every answer says so in a header.
"""
