"""The only SQL of reconcile: `items`, `boards`, `statements`, `exceptions`, and what is `shown`."""
