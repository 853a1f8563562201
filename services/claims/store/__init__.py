"""The only SQL of claims: `door`, `chain`, `directory`, `held` commands, and what is `shown`."""
