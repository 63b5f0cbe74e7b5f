from .caltech import KITTI_CALTECH as KITTI_CALTECH
from .clips import (
    DATA_VARIABLE as DATA_VARIABLE,
    FIRST as FIRST,
    PARTS as PARTS,
    Benchmark as Benchmark,
    Clips as Clips,
    Part as Part,
)
from .human36m import HUMAN as HUMAN
from .kth import KTH as KTH
from .moving_mnist import MOVING_FASHION_MNIST as MOVING_FASHION_MNIST, MOVING_MNIST as MOVING_MNIST
from .taxibj import NPZ as NPZ, TAXIBJ as TAXIBJ
