"""
Edits of a request body, the gate that allows them, and the receipt that proves them.
"""
