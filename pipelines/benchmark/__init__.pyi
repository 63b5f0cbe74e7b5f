from .ablation import plan_ablation as plan_ablation, run_ablation as run_ablation
from .checkpoint import score_checkpoint as score_checkpoint
from .clip_batches import ClipBatches as ClipBatches
from .config import BenchmarkConfig as BenchmarkConfig, plan_benchmark as plan_benchmark
from .costs import costs_of as costs_of
from .presets import PresetName as PresetName
from .run import BenchmarkReport as BenchmarkReport, run_benchmark as run_benchmark
