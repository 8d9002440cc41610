"""alexjax: AlexNet as pure functions over a pytree (`alexnet`), and AdaSmooth for optax (`adasmooth`)."""

from alexjax import alexnet
from alexjax.adasmooth import (
    ScaleByAdasmoothDeltaState,
    ScaleByAdasmoothState,
    adasmooth,
    adasmooth_delta,
    scale_by_adasmooth,
    scale_by_adasmooth_delta,
)

__all__ = [
    "ScaleByAdasmoothDeltaState",
    "ScaleByAdasmoothState",
    "adasmooth",
    "adasmooth_delta",
    "alexnet",
    "scale_by_adasmooth",
    "scale_by_adasmooth_delta",
]
