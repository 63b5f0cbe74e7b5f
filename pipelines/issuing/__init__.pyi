from .batches import Setting as Setting, made as made
from .init_times import due as due, missing_history as missing_history, on_hours as on_hours
from .report import ForecastReport as ForecastReport, Kind as Kind
