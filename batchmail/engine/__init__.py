"""Temporal as the program meets it: a connection to any server, and the embedded surroundings of `--dev`."""
