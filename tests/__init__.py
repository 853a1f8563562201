"""Tests of Ledgerbus, on real PostgreSQL and Kafka."""
