from .alarms import Tests as Tests
from .arrivals import late as late
from .report import Drift as Drift, Finding as Finding, last_drift as last_drift
from .stage import drift as drift
