"""How Ledgerbus is run: the topic plan and the stack of a workstation."""
