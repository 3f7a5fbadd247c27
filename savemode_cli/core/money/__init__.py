"""
Amounts, price lists, and what a usage costs.
"""
