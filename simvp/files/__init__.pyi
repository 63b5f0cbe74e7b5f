from .source import Data as Data, Location as Location, as_given as as_given, opened as opened
