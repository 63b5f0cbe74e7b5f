from . import artifacts as artifacts
from .dead_runs import end_dead_runs as end_dead_runs, of_this_process as of_this_process
from .drift import find_drift as find_drift, warned as warned
from .limits import one_writer as one_writer
from .progress import listen as listen
from .refusals import flow as flow
from .stage_task import stage_task as stage_task
