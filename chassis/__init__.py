"""The machinery every service runs on; it has never heard of a claim."""
