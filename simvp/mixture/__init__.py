"""Mixture: what is issued as a weighted mean of several forecasts, with weights from verified errors.

`mixture` is what a model keeps, `aggregation` how weights follow errors, `prior` what validation blocks say first.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
