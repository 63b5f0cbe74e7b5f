"""The frames of one data set, committed: grown by what is new, refused what does not fit.

`archive` is the whole of it; `schema` says what an archive holds, `candidate` compares candidate frames with it,
`summary` tells their lowest, highest, mean and missing values, `block_writer` writes, `blocks` does all this block by
block, here or on workers, `commits` and `manifest` keep what was taken in, and from which files; `integrity` finds
frames that are not what they were, and writes them anew.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
