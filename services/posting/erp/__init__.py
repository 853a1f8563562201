"""Ledgers outside this service: the port that posting calls, and one adapter per kind of ledger."""
