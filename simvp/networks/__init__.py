"""The networks: the SimVP family, and the network of gridded data, which begins at a baseline and corrects it.

`simvp` is the model of the paper with `translators` and `config`, `gridded` what surrounds it for gridded data;
`normalisation`, `recompute` and `fourier` make it small and fast; `pretrained` reads public checkpoints, `saved` builds
a network from a header, and `footprint` says what memory one takes.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
