"""Posting: turns reserved claims into balanced journal entries, once each, in some ledger."""
