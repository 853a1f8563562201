"""budget: says what is left, holds what was approved, and records what was spent or given back."""
