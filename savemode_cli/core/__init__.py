"""
All judgement, and nothing else: no clock, no I/O, no globals. Same inputs, same outputs.

Rule of this package: the standard library's pure parts, one JSON parser, and the modules above in
errors < {model_ids, price, encodings, sse} < pricing < usage < messages < caller < {gate, transform, tiers, tokens} <
{prompt < prompt_cache, budget} < {admission, charge} < ledger < exchange < summary.
"""
