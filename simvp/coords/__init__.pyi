from .axes import canonicalise as canonicalise, restore as restore
from .forecast_layout import (
    BOUNDS_OF as BOUNDS_OF,
    MEMBERS_OF as MEMBERS_OF,
    RATIO_OF as RATIO_OF,
    check as check,
    coordinates as coordinates,
    described as described,
    label as label,
    single_maps as single_maps,
    unfilled as unfilled,
)
from .grid import Grid as Grid, area_weights as area_weights, horizontal_dims as horizontal_dims
from .identity import (
    EXPVER as EXPVER,
    MEMBERS as MEMBERS,
    differences as differences,
    fixed_labels as fixed_labels,
    label_names as label_names,
    unsaid as unsaid,
    with_labels as with_labels,
)
from .planes import Axes as Axes, find_axes as find_axes
from .selection import axis_names as axis_names, check_names as check_names, select_values as select_values
from .steps import Step as Step, history as history, lead_times as lead_times, on_step as on_step
from .valid_time import period_bounds as period_bounds
