"""The words of a batch and its pure decisions: no I/O, nothing of ours but errors."""
