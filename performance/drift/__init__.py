"""Simulated years with a planted change: how many days until it is noticed, and false alarms in years without one."""
