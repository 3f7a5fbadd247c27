"""
Caps, holds, settlements, and the ledger they are kept in.
"""
