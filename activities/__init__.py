"""The activities of the program: one a file."""
