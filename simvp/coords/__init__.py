"""What a label means: which variable is an axis, the grid and where it lies, time steps, labels of a forecast.

`axes` brings data of any naming into the canonical form and a forecast back, by `roles`, `planes`, `labels` and
`selection`; `valid_time` says which time a field is of, `grid` knows places and areas, `mapping` projections,
`identity` levels and members, `steps` time steps; `forecast_layout` has the names of a labelled forecast.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
