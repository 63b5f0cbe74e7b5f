"""What the default settings reach on the data sets of the catalogue: `make skill`, `python -m performance.skill`.

`trial` trains and judges, `tables` says what was found, `__main__` puts docs/skill.md together.
"""
