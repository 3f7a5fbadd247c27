"""
Alerts: the channels on which a person is told, and the threads that tell.
"""
