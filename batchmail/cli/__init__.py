"""What the commands print and do. The only room that knows the terminal library."""
