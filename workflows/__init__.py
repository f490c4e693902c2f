"""The workflows of the program."""
