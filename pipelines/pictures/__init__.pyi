from .clips import clip_animation as clip_animation, clip_strip as clip_strip
from .comparisons import error_map as error_map, gains as gains
from .ensembles import ensemble_panels as ensemble_panels, fan_chart as fan_chart
from .fields import (
    learning_curve as learning_curve,
    png as png,
    sample_strip as sample_strip,
    skill_curve as skill_curve,
)
from .shapes import scale_panels as scale_panels, spectra_panels as spectra_panels, width_map as width_map
