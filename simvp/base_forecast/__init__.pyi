from .base_forecast import BaseForecast as BaseForecast
