"""Losses: what training makes small. Each returns a single number, the mean over the batch."""

import nunes.autograd.functional as F
from nunes.nn.module import module_of

CrossEntropyLoss = module_of("CrossEntropyLoss", F.cross_entropy)
NLLLoss = module_of("NLLLoss", F.nll)
MSELoss = module_of("MSELoss", F.mse)
L1Loss = module_of("L1Loss", F.l1)
HuberLoss = module_of("HuberLoss", F.huber)
BCEWithLogitsLoss = module_of("BCEWithLogitsLoss", F.bce_with_logits)
