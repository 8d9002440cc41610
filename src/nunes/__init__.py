"""nunes: AlexNet's training from scratch, on NumPy alone.

Read it in the order of its imports: `autograd.graph`, `tensor`, `parallel`, `autograd.functional` (common, shapes,
activations, losses, convolution, winograd, vision, normalisation), `nn` (module, layers), `models`,
`optimizers`, `schedules`.
"""

import nunes.autograd.functional  # gives Tensor its operators
from nunes.autograd.graph import no_grad
from nunes.tensor import Tensor

__all__ = ["Tensor", "no_grad"]
