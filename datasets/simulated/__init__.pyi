from .worlds import SimulatedTraffic as SimulatedTraffic, SimulatedWeather as SimulatedWeather, Simulation as Simulation
