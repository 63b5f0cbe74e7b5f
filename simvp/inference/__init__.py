"""From a saved model and labelled data to a labelled forecast.

`predict` is what a notebook calls, `forecaster` the model with its contract, `experts` what it issues, `replay` its
weights from verified errors, `inputs` the frames it needs, `model_file` the file that it is kept in, `request` what a
caller may ask for, `summary` what a notebook shows of a model, `device` where it computes, `origin` what a forecast
says of where it comes from, `registry` the models that MLflow knows.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
