"""The base forecast: the best linear forecast per variable and lead, which contains every baseline.

`base_forecast` is what is kept and predicts of all variables, `linear_forecast` of one; `predictors` says what it is
made of, `series` has frames by slot, `fit` fits one variable by `folds` of `normal_equations`, `ridge` has the
coefficients and how they are chosen, and `transform` roots and logarithms, which are tried on a `sample`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
