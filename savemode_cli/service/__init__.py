"""
The service that keeps `savemode serve` running: a systemd user unit, or a launchd agent.

Rule of this folder: one file is written, and it contains no secret. A file that savemode did not write is not touched.
"""
