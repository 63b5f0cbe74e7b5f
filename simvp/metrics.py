"""The old place of `simvp.scoring.metrics`."""

from simvp.version import moved

moved(__name__, "simvp.scoring.metrics")
