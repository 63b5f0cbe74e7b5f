"""Runs of the vision benchmarks, from clips to rows of a report.

`run` is the whole of one; `config` and `presets` say what it is made of, `clip_batches` feeds the training loop,
`training` trains, `scores` and `rows` say what came out, beside what others have published; `ablation` compares
variants, `checkpoint` scores a public one, `costs` counts parameters, operations and memory.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
