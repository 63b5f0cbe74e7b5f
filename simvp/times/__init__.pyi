from .calendars import (
    DAY as DAY,
    EPOCH as EPOCH,
    calendar_of as calendar_of,
    decode_times as decode_times,
    encode_times as encode_times,
    fields_of as fields_of,
    month_start as month_start,
    name_time as name_time,
    parse_times as parse_times,
    show_time as show_time,
)
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
