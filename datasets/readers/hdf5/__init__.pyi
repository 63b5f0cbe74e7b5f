from .inspector import refuse_foreign as refuse_foreign, refuse_pointers as refuse_pointers
