"""The product's pure code in virtual time, among parts that misbehave: thousands of lives of a batch."""
