from .bootstrap import cut_blocks as cut_blocks, studentise as studentise
from .evaluate import (
    MOVING as MOVING,
    WEIGHT as WEIGHT,
    batch_size as batch_size,
    chunks as chunks,
    lies_in as lies_in,
    scorable as scorable,
    score as score,
    select_frames as select_frames,
    stretch as stretch,
)
from .gate import Gate as Gate
from .issued import score_alone as score_alone, score_issued as score_issued, taken_over as taken_over
from .judgement import Judgement as Judgement, judge as judge
from .pictures import SKILL as SKILL, draw as draw
from .skill import (
    OWN as OWN,
    SHARP as SHARP,
    by_model as by_model,
    in_words as in_words,
    markdown as markdown,
    rain_lines as rain_lines,
    skill_csv as skill_csv,
    skill_table as skill_table,
    sure_words as sure_words,
    unpredictable as unpredictable,
)
from .verdict import PARTS as PARTS, Outcome as Outcome
