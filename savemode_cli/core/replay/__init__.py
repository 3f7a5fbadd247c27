"""
Recorded traffic under other policies, graded against its bills.
"""
