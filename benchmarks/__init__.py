"""How fast batches are mailed, beside a bare aiosmtplib loop: `make bench`."""
