"""
An upstream on loopback that answers like the Messages API and bills a prompt cache like the API.

Rule of this package: it knows the API only, and nothing about money or the proxy. Its token counts are estimates, because
no tokenizer is public; a header of every answer says so.
"""
