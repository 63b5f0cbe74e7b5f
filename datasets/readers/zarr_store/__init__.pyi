from .folder import refuse_outside as refuse_outside
from .guarded import guarded as guarded, refuse_codecs as refuse_codecs
