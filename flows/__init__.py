"""Prefect flows and deployments: thin wrappers around the stages."""

import os

# Before torch is loaded: its threads wait asleep for each other. By default they wait spinning, and as soon as another
# process wants one of the cores (a server, a second flow) each of thousands of waits lasts a time slice: a training
# step took 1.0 s instead of 0.25 s on two cores with one busy neighbour.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
