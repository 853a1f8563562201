"""Measurements: of the whole chain, and of a floor below which no chain on these servers can go."""
