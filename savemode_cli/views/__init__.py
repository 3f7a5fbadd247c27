"""
What people see. Rule of this package: a view renders what it is given and computes no figures of its own.
"""
