"""
A clip of a vision benchmark
============================

The benchmarks of SimVP's paper are read as gridded data is. Moving MNIST draws its clips by itself: here from
the handwritten digits of scikit-learn, since no file of the benchmark is at hand.
"""

import numpy as np

from datasets.benchmarks import find_benchmark
from pipelines.pictures import clip_strip

clips = find_benchmark("moving-mnist").open("test")
print(clips.origin)
clip = clips.labelled(3)
clip

# %%
# Ten frames in, ten frames out. Beside the truth the simplest forecast: the last frame stays.

frames = clips.frames(np.array([3]))[0].numpy()  # (L, C, H, W)
inputs, truth = frames[: clips.frames_in], frames[clips.frames_in :]
persistence = np.repeat(inputs[-1:], len(truth), axis=0)
figure = clip_strip(inputs, truth, persistence, title="persistence")

# %%
# The error as papers print it is a sum over the frame, a mean over frames:

float(((truth - persistence) ** 2).sum((1, 2, 3)).mean())
