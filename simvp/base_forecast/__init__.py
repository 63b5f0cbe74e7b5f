"""The base forecast: the best linear forecast per variable and lead, which contains every baseline.

`base_forecast` is what is kept and predicts, `predictors` what it is made of, `series` frames by slot, `fit` the fit of
one variable over folds, `normal_equations` the sums behind it, `ridge` its coefficients and how they are chosen.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
