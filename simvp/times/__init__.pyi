from .dates import (
    calendar_name as calendar_name,
    count_units as count_units,
    dates_of as dates_of,
    duration_words as duration_words,
    durations_of as durations_of,
    is_plain as is_plain,
    parse_duration as parse_duration,
    writes_dates as writes_dates,
)
from .nominal import (
    find_step as find_step,
    first_slot as first_slot,
    nearest_slots as nearest_slots,
    tolerance as tolerance,
)
