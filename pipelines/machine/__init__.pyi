from .faults import faults_in_words as faults_in_words, stage as stage
from .usable import refuse_unusable as refuse_unusable
