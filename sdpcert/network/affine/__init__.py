"""Affine layers: one kind a file, each a class with everything that is known about it (`AffineLayer`)."""

from sdpcert.network.affine.concat import Concat as Concat
from sdpcert.network.affine.conv_transpose import ConvTranspose as ConvTranspose
from sdpcert.network.affine.convolution import Conv2d as Conv2d
from sdpcert.network.affine.dense import Dense as Dense
from sdpcert.network.affine.interpolation import Interpolation as Interpolation
from sdpcert.network.affine.layer import AffineLayer as AffineLayer
from sdpcert.network.affine.layer import Shape as Shape
from sdpcert.network.affine.rearrange import Rearrange as Rearrange
from sdpcert.network.affine.scale import Scale as Scale
from sdpcert.network.affine.sum import Sum as Sum
