from .inspector import refuse_foreign as refuse_foreign
