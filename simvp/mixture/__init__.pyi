from .mixture import (
    Mixture as Mixture,
    Recursion as Recursion,
    digest as digest,
    gram_matrices as gram_matrices,
    left_out_errors as left_out_errors,
    mix as mix,
)
