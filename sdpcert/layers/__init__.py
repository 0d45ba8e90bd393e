"""1-Lipschitz torch layers, feasible by construction, and checked to be."""

from sdpcert.layers.aoc import AOCConv2d, AOCConvTranspose2d
from sdpcert.layers.aol import AOLConv2d, AOLLinear
from sdpcert.layers.bcop import BCOPConv2d
from sdpcert.layers.bjorck import BjorckConv2d, BjorckLinear
from sdpcert.layers.block_reflector import BROConv2d, BROLinear
from sdpcert.layers.cayley import CayleyConv2d, CayleyLinear
from sdpcert.layers.cholesky import CholeskyLinear
from sdpcert.layers.cpl import CPLConv2d, CPLLinear
from sdpcert.layers.elementwise import Abs, Elementwise, Householder, Householder2, MaxMin
from sdpcert.layers.exponential import ExponentialLinear, SOCConv2d
from sdpcert.layers.families import FAMILIES
from sdpcert.layers.family import Family
from sdpcert.layers.feasibility import LayerCheck, check, check_family
from sdpcert.layers.general_residual import GeneralResidual
from sdpcert.layers.group_sort import FullSort, GroupSort
from sdpcert.layers.heads import NormalizedHead, OrthogonalHead
from sdpcert.layers.linear import ScaledConv2d, ScaledLinear
from sdpcert.layers.linear_residual import LinearResidual, LinearResidualConv2d
from sdpcert.layers.mlp_head import MLPHead
from sdpcert.layers.parametrization import lipschitz
from sdpcert.layers.pooling import (
    AveragePooling2d,
    MaxPooling2d,
    NormPooling,
    ProjectionPooling,
    SpaceToDepth,
    ZeroChannelPadding,
)
from sdpcert.layers.residual import ResidualConv2d, ResidualLinear
from sdpcert.layers.sandwich import SandwichConv2d, SandwichLinear
from sdpcert.layers.sandwich_network import SandwichNetwork
from sdpcert.layers.shifts import PartialAbs, Shift2d
from sdpcert.layers.sll import SLLConv2d, SLLLinear
from sdpcert.layers.spectral import SpectralConv2d, SpectralLinear
from sdpcert.torch_modules.certified import Certified, LipschitzLayer

__all__ = [
    "FAMILIES",
    "AOCConv2d",
    "AOCConvTranspose2d",
    "AOLConv2d",
    "AOLLinear",
    "Abs",
    "AveragePooling2d",
    "BCOPConv2d",
    "BROConv2d",
    "BROLinear",
    "BjorckConv2d",
    "BjorckLinear",
    "CPLConv2d",
    "CPLLinear",
    "CayleyConv2d",
    "CayleyLinear",
    "Certified",
    "CholeskyLinear",
    "Elementwise",
    "ExponentialLinear",
    "Family",
    "FullSort",
    "GeneralResidual",
    "GroupSort",
    "Householder",
    "Householder2",
    "LayerCheck",
    "LinearResidual",
    "LinearResidualConv2d",
    "LipschitzLayer",
    "MLPHead",
    "MaxMin",
    "MaxPooling2d",
    "NormPooling",
    "NormalizedHead",
    "OrthogonalHead",
    "PartialAbs",
    "ProjectionPooling",
    "ResidualConv2d",
    "ResidualLinear",
    "SLLConv2d",
    "SLLLinear",
    "SOCConv2d",
    "SandwichConv2d",
    "SandwichLinear",
    "SandwichNetwork",
    "ScaledConv2d",
    "ScaledLinear",
    "Shift2d",
    "SpaceToDepth",
    "SpectralConv2d",
    "SpectralLinear",
    "ZeroChannelPadding",
    "check",
    "check_family",
    "lipschitz",
]
