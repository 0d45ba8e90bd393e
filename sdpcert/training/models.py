"""Networks of the toolkit's layers from settings: chains, so that `from_torch` certifies them by construction."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from torch import nn

import sdpcert.layers as layers
from sdpcert.torch_modules.certified import Certified, LipschitzLayer
from sdpcert.training.modules import KeepChannels
from sdpcert.training.settings import ConvolutionalModel, DenseModel, ResidualModel

#: Families whose layers have their nonlinearity inside.
NONLINEAR = ("sll", "cpl", "sandwich")
#: Families whose layers return as many channels as they read.
SQUARE = ("sll", "cpl", "soc", "linear-residual")

AnyModel = DenseModel | ResidualModel | ConvolutionalModel


def build_model(
    settings: AnyModel, input_shape: Sequence[int], classes: int, normalisation: nn.Module | None = None
) -> nn.Sequential:
    """A network with the children `normalisation` (if any), `backbone` and `head` (none for a sandwich network).

    Inputs are batches (batch, *input_shape), outputs (batch, classes). Raises ValueError if settings and images do
    not fit together.
    """
    shape = tuple(int(k) for k in input_shape)
    if len(shape) != 3 or min(shape) < 1 or classes < 2:
        raise ValueError(f"a classifier reads (channels, height, width) and has 2 classes or more, not {shape}")
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    if normalisation is not None:
        parts["normalisation"] = normalisation
    if isinstance(settings, DenseModel):
        backbone, features = _dense(settings, shape, classes)
    elif isinstance(settings, ResidualModel):
        backbone, features = _residual(settings, shape)
    else:
        backbone, features = _convolutional(settings, shape)
    parts["backbone"] = nn.Sequential(*backbone)
    if features is not None:
        parts["head"] = _head(settings, features, classes)
    return nn.Sequential(parts)


def backbone_constant(module: nn.Module) -> float:
    """The product of the constants that the layers before the head claim."""
    parts = [part for name, part in module.named_children() if name != "head"]
    constant = 1.0
    for part in parts:
        for layer in [part] if isinstance(part, Certified) else part.children():
            constant *= layer.constant if isinstance(layer, Certified) else 1.0
    return constant


def _head(settings: AnyModel, features: int, classes: int) -> nn.Module:
    if settings.head == "mlp":
        return layers.MLPHead(features, settings.head_hidden, classes)
    if settings.head == "orthogonal":
        return layers.OrthogonalHead(features, classes)
    return layers.NormalizedHead(features, classes)


def _dense(settings: DenseModel, shape: tuple[int, ...], classes: int) -> tuple[list[nn.Module], int | None]:
    size = shape[0] * shape[1] * shape[2]
    chain: list[nn.Module] = [nn.Flatten()]
    if settings.family == "sandwich-network":
        return [*chain, layers.SandwichNetwork([size, *settings.hidden, classes])], None
    if settings.features:
        chain.append(layers.CayleyLinear(size, settings.features))
        size = settings.features
    made, size = _dense_chain(settings.family, size, settings.hidden, settings.activation)
    return [*chain, *made], size


def _dense_chain(family: str, size: int, hidden: Sequence[int], activation: str) -> tuple[list[nn.Module], int]:
    """Dense layers with `hidden` outputs each, or, for residual families, `hidden` neurons inside."""
    chain: list[nn.Module] = []
    for width in hidden:
        if family == "sll":
            chain.append(layers.SLLLinear(size, width))
        elif family == "cpl":
            chain.append(layers.CPLLinear(size, width))
        elif family == "sandwich":
            chain.append(layers.SandwichLinear(size, width))
            size = width
        else:
            chain += [_LINEAR[family](size, width), _activation(activation, width)]
            size = width
    return chain, size


def _residual(settings: ResidualModel, shape: tuple[int, ...]) -> tuple[list[nn.Module], int]:
    channels, height, width = shape
    _divides("patch", settings.patch, height, width)
    channels, height, width = channels * settings.patch**2, height // settings.patch, width // settings.patch
    _divides("pooling", settings.pooling, height, width)
    if settings.channels < channels:
        raise ValueError(f"model.channels must be at least the {channels} channels of the images' patches")
    convolution = _RESIDUAL[settings.family]
    hidden = settings.inner * settings.channels
    chain: list[nn.Module] = [layers.SpaceToDepth(settings.patch)] if settings.patch > 1 else []
    chain.append(layers.ZeroChannelPadding(settings.channels - channels))
    chain += [convolution(settings.channels, hidden, settings.kernel) for _ in range(settings.convolutions)]
    chain += [layers.AveragePooling2d(settings.pooling), nn.Flatten()]
    size = settings.channels * (height // settings.pooling) * (width // settings.pooling)
    made, size = _dense_chain(settings.family, size, [settings.dense_hidden] * settings.dense, "relu")
    return [*chain, *made], size


def _divides(name: str, parts: int, height: int, width: int) -> None:
    if height % parts or width % parts:
        raise ValueError(f"model.{name} of {parts} does not divide images of {height} x {width}")


def _convolutional(settings: ConvolutionalModel, shape: tuple[int, ...]) -> tuple[list[nn.Module], int]:
    channels, height, width = shape
    if settings.kernel % 2 == 0:
        raise ValueError(f"model.kernel must be odd, so that images keep their size, not {settings.kernel}")
    chain: list[nn.Module] = []
    for inner, outer in zip(settings.channels, settings.outputs, strict=True):
        for _ in range(settings.layers - (settings.halving != "selection")):
            chain += _convolution(settings, channels, inner, (height, width))
            channels = inner
        if height % 2 or width % 2:
            raise ValueError(f"model.channels has too many stages: images of {height} x {width} cannot be halved")
        height, width = height // 2, width // 2
        if settings.halving == "convolution":
            chain.append(layers.SpaceToDepth(2))
            chain += _convolution(settings, 4 * channels, outer, (height, width))
        elif settings.halving == "stride":
            chain.append(layers.AOCConv2d(channels, outer, settings.kernel, 2, circular=settings.circular))
            chain.append(_activation(settings.activation, outer))
        else:
            chain += [KeepChannels(outer // 4), layers.SpaceToDepth(2)]
        channels = outer
    chain.append(nn.Flatten())
    dense = _DENSE_INSTEAD.get(settings.family, settings.family)
    made, size = _dense_chain(dense, channels * height * width, settings.dense, settings.activation)
    return [*chain, *made], size


def _convolution(settings: ConvolutionalModel, inputs: int, outputs: int, size: tuple[int, int]) -> list[nn.Module]:
    """One convolution with its activation; families that keep the number of channels get zeros, or lose some."""
    family, kernel, circular = settings.family, settings.kernel, settings.circular
    chain: list[nn.Module] = []
    most = max(inputs, outputs)
    if family in SQUARE and most > inputs:
        chain.append(layers.ZeroChannelPadding(most - inputs))
    if family in _OF_KERNELS:
        chain.append(_OF_KERNELS[family](inputs, outputs, kernel, circular=circular))
    elif family in _OF_IMAGES:
        chain.append(_OF_IMAGES[family](inputs, outputs, kernel, size))
    elif family in _RESIDUAL:
        chain.append(_RESIDUAL[family](most, most, kernel, circular=circular))
    elif family == "soc":
        torus = size if circular else None
        fast, terms = settings.fast_gradient, settings.terms
        chain.append(layers.SOCConv2d(most, kernel, torus, circular=circular, terms=terms, fast_gradient=fast))
    else:
        chain.append(layers.LinearResidualConv2d(most, kernel, circular=circular))
    if family in SQUARE and most > outputs:
        chain.append(KeepChannels(outputs))
    return chain if family in NONLINEAR else [*chain, _activation(settings.activation, outputs)]


def _activation(name: str, channels: int) -> nn.Module:
    if name in ("maxmin", "householder") and channels % 2:
        raise ValueError(f"model.activation {name!r} needs an even number of channels, not {channels}")
    if name == "maxmin":
        return layers.MaxMin()
    if name == "householder":
        return layers.Householder(channels)
    if name == "partial-abs":
        return layers.PartialAbs()
    return layers.Abs() if name == "abs" else layers.Elementwise("relu")


_LINEAR: dict[str, Callable[[int, int], LipschitzLayer]] = {
    "aol": layers.AOLLinear,
    "spectral": layers.SpectralLinear,
    "cayley": layers.CayleyLinear,
    "bjorck": layers.BjorckLinear,
    "bro": layers.BROLinear,
    "cholesky": layers.CholeskyLinear,
}
#: Convolutions of images of every size.
_OF_KERNELS: dict[str, Callable[..., LipschitzLayer]] = {
    "aol": layers.AOLConv2d,
    "spectral": layers.SpectralConv2d,
    "bjorck": layers.BjorckConv2d,
    "bcop": layers.BCOPConv2d,
    "aoc": layers.AOCConv2d,
}
#: Convolutions that are made for images of one size.
_OF_IMAGES: dict[str, Callable[..., LipschitzLayer]] = {
    "cayley": layers.CayleyConv2d,
    "bro": layers.BROConv2d,
    "sandwich": layers.SandwichConv2d,
}
_RESIDUAL: dict[str, Callable[..., LipschitzLayer]] = {"sll": layers.SLLConv2d, "cpl": layers.CPLConv2d}
#: The family of dense layers after convolutions of a family that has none.
_DENSE_INSTEAD = {"soc": "cayley", "bcop": "cayley", "aoc": "cayley", "linear-residual": "cholesky"}
