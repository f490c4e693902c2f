"""Bytes to outcome: one open SMTP connection, and what the relay's answers mean."""
