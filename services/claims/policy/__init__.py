"""What claims accepts, and what it says about what it does not: pure rules over values."""
