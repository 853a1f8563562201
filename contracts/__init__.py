"""The language of Ledgerbus: events, values and error codes. Needs only pydantic."""
