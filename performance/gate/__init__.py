"""How often the gate errs and what it finds, beside other tests of equal skill: `python -m performance.gate`.

Simulated series only; no data set is read. The tables are those of docs/gate.md.
"""
