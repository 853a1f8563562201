"""The demo: an invented company, its month of claims, its bank."""
