"""Approval: applies versioned rules to checked claims and asks the people they name."""
