"""Chaos: whole batches with real processes, while a seeded schedule of faults acts.

`schedule` draws it, `ground` holds the processes and carries it out, `verdict` compares what the relay
recorded with what was reported.
"""
