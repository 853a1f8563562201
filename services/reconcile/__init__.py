"""Reconcile: pairs bank lines with posted entries to the cent, and asks about the rest."""
