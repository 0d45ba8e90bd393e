"""1-Lipschitz torch layers, feasible by construction, and checked to be."""

from sdpcert.layers.activations import Abs as Abs
from sdpcert.layers.activations import Elementwise as Elementwise
from sdpcert.layers.activations import Householder as Householder
from sdpcert.layers.activations import Householder2 as Householder2
from sdpcert.layers.activations import MaxMin as MaxMin
from sdpcert.layers.aol import AOLConv2d as AOLConv2d
from sdpcert.layers.aol import AOLLinear as AOLLinear
from sdpcert.layers.base import Certified as Certified
from sdpcert.layers.base import LipschitzLayer as LipschitzLayer
from sdpcert.layers.check import LayerCheck as LayerCheck
from sdpcert.layers.check import check as check
from sdpcert.layers.check import check_family as check_family
from sdpcert.layers.cpl import CPLConv2d as CPLConv2d
from sdpcert.layers.cpl import CPLLinear as CPLLinear
from sdpcert.layers.families import FAMILIES as FAMILIES
from sdpcert.layers.family import Family as Family
from sdpcert.layers.linear import ScaledConv2d as ScaledConv2d
from sdpcert.layers.linear import ScaledLinear as ScaledLinear
from sdpcert.layers.parametrization import lipschitz as lipschitz
from sdpcert.layers.residual import ResidualConv2d as ResidualConv2d
from sdpcert.layers.residual import ResidualLinear as ResidualLinear
from sdpcert.layers.sll import SLLConv2d as SLLConv2d
from sdpcert.layers.sll import SLLLinear as SLLLinear
from sdpcert.layers.spectral import SpectralConv2d as SpectralConv2d
from sdpcert.layers.spectral import SpectralLinear as SpectralLinear
