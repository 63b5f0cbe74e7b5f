from . import artifacts as artifacts
from .limits import one_writer as one_writer
from .progress import listen as listen
from .refusals import flow as flow
from .stage_task import stage_task as stage_task
