"""The old place of `simvp.inference.model_file`."""

from simvp.version import moved

moved(__name__, "simvp.inference.model_file")
