"""The only SQL of reconcile: items, boards, settlements, statements, exceptions, views."""
