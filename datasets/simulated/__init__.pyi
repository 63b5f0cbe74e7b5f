from .worlds import SimulatedTraffic as SimulatedTraffic
from .worlds import SimulatedWeather as SimulatedWeather
from .worlds import Simulation as Simulation
