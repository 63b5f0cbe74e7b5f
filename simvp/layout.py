"""The old place of `simvp.coords.forecast_layout`."""

from simvp.version import moved

moved(__name__, "simvp.coords.forecast_layout")
