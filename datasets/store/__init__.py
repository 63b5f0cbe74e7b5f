"""Labelled variables in a Zarr store that is whole or not there, after any kill.

`store` appends and commits, `writer` makes what a commit changes, `repository` moves the branch that decides what
counts, `encoding` says how values are kept, `disk` is what it takes for bytes to be on it, `remains` is what a damaged
one still has.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
