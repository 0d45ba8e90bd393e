"""What is certified: layers, activations, the forward pass in NumPy, and the stacked form."""

from sdpcert.network.activations import Activation as Activation
from sdpcert.network.activations import relu as relu
from sdpcert.network.affine import Dense as Dense
from sdpcert.network.graph import Graph as Graph
from sdpcert.network.graph import Network as Network
from sdpcert.network.stacked import StackedForm as StackedForm
