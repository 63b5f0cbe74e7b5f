from .alarms import Tests as Tests
from .arrivals import late as late
from .detector import follow as follow, threshold as threshold
from .inputs import input_factors as input_factors
from .report import Drift as Drift, Finding as Finding, last_drift as last_drift
from .stage import drift as drift
