from .decoding import decode as decode, decode_all as decode_all, finish as finish, is_applied as is_applied
from .marks import (
    LARGEST as LARGEST,
    Form as Form,
    in_single as in_single,
    looks_like_mark as looks_like_mark,
    stored_as as stored_as,
)
from .units import (
    conversion as conversion,
    converted as converted,
    is_unit as is_unit,
    same_units as same_units,
)
