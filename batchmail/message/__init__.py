"""File and fields → bytes: a message is read once, compiled once a batch, and filled per recipient."""
