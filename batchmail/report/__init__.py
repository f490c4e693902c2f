"""Outcomes to a table a person can open, a receipt a program can ask for, and the mail the admins read."""
