"""The base forecast: the best linear forecast per variable and lead, which contains every baseline."""

from simvp.base_forecast.base_forecast import BaseForecast, LinearForecast
from simvp.base_forecast.predictors import Design, baseline_coefficients
from simvp.base_forecast.ridge import Choices

__all__ = ["BaseForecast", "Choices", "Design", "LinearForecast", "baseline_coefficients"]
