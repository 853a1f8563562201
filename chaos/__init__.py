"""The fault kit: a whole system, the weather it has to live in, and what became of every claim.

Everything is seeded and stays on this machine's loopback. `ledgerbus chaos` runs it.
"""
