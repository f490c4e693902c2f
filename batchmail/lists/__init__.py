"""List → snapshot: the user's CSV read once, checked, and kept as an immutable copy in the store."""
