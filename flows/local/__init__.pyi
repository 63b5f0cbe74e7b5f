from .addresses import Addresses as Addresses, free_port as free_port, running as running
from .console import StageConsole as StageConsole, score_table as score_table, skill_tables as skill_tables
from .databases import prefect_file as prefect_file
from .progress_bar import ProgressBar as ProgressBar
from .services import Services as Services, offline_environment as offline_environment
from .signals import Stop as Stop, stopped_by_signals as stopped_by_signals
