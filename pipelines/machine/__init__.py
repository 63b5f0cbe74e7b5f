"""What a stage needs of the machine: a home that can be written to; and what is said where the machine fails."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
