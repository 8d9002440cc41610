"""study: the experiments on top of `nunes` and `alexjax`.

In reading order: `config` (what a run is), `rendered_cars`, `builders` and `data` (what it learns from), `training`
(the run), `results` (what it left behind), `benchmark`, `plots`, `report`.
"""

from study.config import ConfigError, RunConfig
from study.training import train

__all__ = ["ConfigError", "RunConfig", "train"]
