"""claims: takes what others claim, judges it at the door, and tells each claim's whole story."""
