"""The embedded stack against itself: its own root, its own ports, its own servers."""
