"""The vision benchmarks of the paper, as clips of frames.

`clips` is what every benchmark is made of, `recordings` what folders of frames have in common; the others read one
data set each (`digits` draws Moving MNIST's, `seq` and `hickle` are file formats of Caltech Pedestrian).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
