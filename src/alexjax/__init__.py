"""alexjax: AlexNet as pure functions over a pytree (`alexnet`), AdaSmooth for optax (`adasmooth`), and the step that
trains the one with the other, on one device or many (`training`)."""

from alexjax import alexnet, training
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
    "training",
]
