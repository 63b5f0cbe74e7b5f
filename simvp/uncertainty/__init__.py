"""How sure a forecast is: bounds and members from the errors of forecasts that had no part in any choice.

`calibration` is what a model keeps of these errors, `spread` how large they are by lead, place and time of day,
`conformal` their quantiles, `ensemble` makes bounds and members of a forecast.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
