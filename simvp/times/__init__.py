"""How times are written: dates in texts, in numbers and counted since a date, calendars, durations; the step they mean.

`calendars` counts times and names them, `dates` reads what files hold, `nominal` finds the regular step that times
which jitter are meant to have.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
