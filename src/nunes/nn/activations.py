"""Activations as modules, for `Sequential`; options of the function are given to the constructor."""

import nunes.autograd.functional as F
from nunes.nn.module import module_of

ReLU = module_of("ReLU", F.relu)
LeakyReLU = module_of("LeakyReLU", F.leaky_relu)
ELU = module_of("ELU", F.elu)
GELU = module_of("GELU", F.gelu)
SiLU = module_of("SiLU", F.silu)
Sigmoid = module_of("Sigmoid", F.sigmoid)
Tanh = module_of("Tanh", F.tanh)
Softplus = module_of("Softplus", F.softplus)
Softmax = module_of("Softmax", F.softmax)
LogSoftmax = module_of("LogSoftmax", F.log_softmax)
Flatten = module_of("Flatten", F.flatten)
