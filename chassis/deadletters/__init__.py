"""Dead letters: what failed for good, what waits behind it, and how people repair it."""
