"""alexjax: AlexNet as pure functions over a pytree (`alexnet`), the two small networks of AdaSmooth's paper (`digits`),
AdaSmooth for optax (`adasmooth`), and the step that trains the one with the other, on one device or many (`training`).
"""

from alexjax import alexnet, digits, training
from alexjax.adasmooth import (
    ScaleByAdasmoothState,
    adasmooth,
    adasmooth_delta,
    scale_by_adasmooth,
    scale_by_adasmooth_delta,
)
