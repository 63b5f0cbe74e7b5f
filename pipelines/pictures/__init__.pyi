from .clips import clip_animation as clip_animation
from .clips import clip_strip as clip_strip
from .fields import learning_curve as learning_curve
from .fields import png as png
from .fields import sample_strip as sample_strip
from .fields import skill_curve as skill_curve
