"""
What ledgers over a network have in common, whatever the server is.

Rule of this folder: it opens no connection. `steps` decides what to ask a server and reads its answers, `blocking` and `awaited`
ask, and a back end is the class that sends one question.
"""
