"""study: the experiments on top of `nunes` and `alexjax`.

In reading order: `config` (what a run is), `data` (what it learns from), `optimizers`, `training` (the run), `results`
(what it left behind), `statistics`, `plots`.
"""

from study.config import ConfigError, RunConfig
from study.training import train
