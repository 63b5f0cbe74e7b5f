from .known import numerical_forecast as numerical_forecast, with_holidays as with_holidays
from .worlds import SimulatedTraffic as SimulatedTraffic, SimulatedWeather as SimulatedWeather, Simulation as Simulation
