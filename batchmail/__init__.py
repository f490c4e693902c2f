"""Durable bulk email: the library. It never imports the program (workflows, activities, worker, starter)."""
