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
from .pictures import (
    SKILL as SKILL,
    draw as draw,
    score_pictures as score_pictures,
    shape_pictures as shape_pictures,
)
from .skill import (
    OWN as OWN,
    by_model as by_model,
    csi_lines as csi_lines,
    in_words as in_words,
    lead_hours as lead_hours,
    markdown as markdown,
    note as note,
    skill_csv as skill_csv,
    skill_table as skill_table,
    sure_words as sure_words,
    unpredictable as unpredictable,
)
from .thresholds import (
    ScoreSettings as ScoreSettings,
    Thresholds as Thresholds,
    limits_of as limits_of,
    refuse_others as refuse_others,
)
from .verdict import PARTS as PARTS, Outcome as Outcome
