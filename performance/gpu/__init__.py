"""What there is to know of a GPU, in at most nine minutes, in steps that each leave their result: `make gpu`.

`speed` compares training step, inference and memory with the plain network, `loading` the loader with a network that
never waits, `curve` trains on Moving MNIST and goes on where an earlier run stopped.
"""
