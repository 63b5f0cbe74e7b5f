"""Faults: what is killed, torn, full or away, and what is there afterwards."""
