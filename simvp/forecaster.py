"""The old place of `simvp.inference.forecaster`."""

from simvp.version import moved

moved(__name__, "simvp.inference.forecaster")
