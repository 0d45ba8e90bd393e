"""Sandwich layers `x -> sqrt2 A' Psi phi(sqrt2 Psi^-1 B x + b)`, dense and per frequency of a circular convolution.

`[A B]` comes from the Cayley transform, `A A' + B B' = I`, and Psi is diagonal and positive (Wang, Manchester 2023,
equation 11 and Algorithm 1). With the outer factor `g sqrt2 A' Psi` and the inner one `a sqrt2 Psi^-1 B`, a g = gamma,
the block has no H, and with multipliers `Lambda = g^2 Psi^2` its Schur complement is

    2 Lambda - G'G - Lambda U U' Lambda / gamma^2 = 2 g^2 Psi (I - A A' - B B') Psi = 0,

so the layer is gamma-Lipschitz as soon as `A A' + B B' <= I`. Half the multipliers, which the paper's main text has,
do not make that inequality hold. Here a = g = sqrt(gamma), so Lambda = gamma Psi^2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sdpcert.layers.cayley import cayley
from sdpcert.layers.family import Family
from sdpcert.layers.linear import check_sizes
from sdpcert.layers.residual import check_activation
from sdpcert.layers.torus import centred, pair_of_sizes
from sdpcert.network.activations import activation_by_name
from sdpcert.network.affine.fourier import wrapped
from sdpcert.torch_modules.block import Block, Hidden
from sdpcert.torch_modules.certified import LipschitzLayer, training_factor
from sdpcert.torch_modules.frequencies import adjoints, through_frequencies
from sdpcert.torch_modules.geometry import Geometry, Operator
from sdpcert.torch_modules.norms import ROUNDING, norm_upper_bound

#: Logarithms of Psi and of a learned gamma stay within this: products of two still fit into float32.
LARGEST = 30.0


class SandwichLinear(LipschitzLayer):
    """A dense sandwich layer; inputs (..., in_features), outputs (..., out_features), as many neurons as outputs.

    `gamma` is the Lipschitz constant, positive; with `learn_gamma` it is where a learned one starts. `activation` has
    slopes in [0, 1]. Raises ValueError for other activations, and for sizes and constants that are not positive.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        gamma: float = 1.0,
        activation: str = "relu",
        bias: bool = True,
        learn_gamma: bool = False,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(in_features=in_features, out_features=out_features)
        check_activation(activation)
        self.activation = activation
        # X and Y of the Cayley transform: A is (out, out), B is (out, in).
        self.square = nn.Parameter(torch.empty(out_features, out_features, device=device, dtype=dtype))
        self.tall = nn.Parameter(torch.empty(in_features, out_features, device=device, dtype=dtype))
        self.log_scale = nn.Parameter(torch.zeros(out_features, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(out_features, device=device, dtype=dtype)) if bias else None
        self.gamma, self.log_gamma = gamma_and_logarithm(gamma, learn_gamma, device, dtype)
        nn.init.xavier_normal_(self.square)
        nn.init.xavier_normal_(self.tall)

    @property
    def constant(self) -> float:
        """The claimed Lipschitz constant."""
        return as_number(gamma_of(self.gamma, self.log_gamma, torch.float64))

    def block(self, values: Mapping[str, Tensor], certified: bool) -> Block:
        """The block of the module's docstring, with `[A B]` divided by its norm if that is above one."""
        top, bottom = contracted_cayley(values["square"], values["tall"], certified)
        return self._scaled_block(values, Operator(top), Operator(bottom.mT))

    def _scales(self, values: Mapping[str, Tensor]) -> tuple[Tensor, Tensor | float, Tensor | float]:
        """Psi, the root of 2 gamma, and gamma."""
        psi = bounded_scale(values["log_scale"])
        gamma = gamma_of(self.gamma, values.get("log_gamma"), psi.dtype)
        return psi, (2 * gamma) ** 0.5, gamma

    def _scaled_block(self, values: Mapping[str, Tensor], outward: Operator, inward: Operator) -> Block:
        """The block from A' and B."""
        psi, root, gamma = self._scales(values)
        channels = (1,) * (outward.weight.dim() - 2)
        hidden = Hidden(
            outward.map(lambda w: root * w * psi.reshape(1, -1, *channels)),
            inward.map(lambda w: root * w / psi.reshape(-1, 1, *channels)),
            values.get("bias"),
            self.activation,
            gamma * psi.square(),
        )
        return Block(None, hidden, None, as_number(gamma))


class SandwichConv2d(SandwichLinear):
    """A sandwich layer of circular convolutions; inputs (batch, in_channels, height, width) of `image_size` only.

    X and Y are kernels of `kernel_size` (odd), so parameters do not depend on the image size, but the two convolutions
    that the Cayley transform makes of them reach over the whole image. `image_size` is (height, width) or one number
    for both, any numbers from 1 on; other images raise ValueError.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        image_size: int | tuple[int, int],
        gamma: float = 1.0,
        activation: str = "relu",
        bias: bool = True,
        learn_gamma: bool = False,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(in_channels, out_channels, gamma, activation, bias, learn_gamma, device, dtype)
        Geometry.same(kernel_size)  # raises ValueError for even sizes
        self.image_size = pair_of_sizes(image_size)
        self.square = nn.Parameter(_spread(self.square.detach(), kernel_size))
        self.tall = nn.Parameter(_spread(self.tall.detach(), kernel_size))

    def block(self, values: Mapping[str, Tensor], certified: bool) -> Block:
        """Two full circular kernels with `A A* + B B* <= I` at every frequency."""
        size = self.image_size
        top, bottom = cayley(symbols(values["square"], size), symbols(values["tall"], size), quick=not certified)
        if certified:
            # The inverse transform averages the symbols at f and -f, which can only make the norm smaller.
            norm = _largest_norm(torch.cat([top, bottom], dim=-2)).clamp_min(1)
            top, bottom = top / norm, bottom / norm
        return self._scaled_block(values, full_kernel(top, size), full_kernel(bottom.mH, size))

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply to a batch, in training at the frequencies; raises ValueError for images of another size than
        `image_size`.
        """
        if tuple(inputs.shape[-2:]) != self.image_size:
            raise ValueError(
                f"this layer was made for images of {self.image_size[0]} x {self.image_size[1]} pixels, not "
                f"{' x '.join(map(str, inputs.shape[-2:]))}: its convolutions depend on the size"
            )
        if not self.training or self.square.dtype not in (torch.float32, torch.float64):
            return super().forward(inputs)
        with torch.autocast(device_type=inputs.device.type, enabled=False):
            return self._at_frequencies(inputs.to(self.square.dtype))

    def _at_frequencies(self, inputs: Tensor) -> Tensor:
        """What the block gives, by the symbols of its kernels, which are as large as the image."""
        values, size = dict(self.named_parameters()), self.image_size
        top, bottom = cayley(symbols(self.square, size), symbols(self.tall, size), quick=True)
        psi, root, _ = self._scales(values)
        inner = through_frequencies(inputs, adjoints(bottom)) * (root / psi)[:, None, None]
        inner = inner if self.bias is None else inner + self.bias[:, None, None]
        outer = activation_by_name(self.activation).on_torch(inner) * psi[:, None, None]
        return through_frequencies(outer, top) * (root * training_factor(self.square.dtype))


def contracted_cayley(square: Tensor, tall: Tensor, certified: bool) -> tuple[Tensor, Tensor]:
    """A' (n, n) and B' (m, n) of X (n, n) and Y (m, n); with `certified`, `A A' + B B' <= I` whatever the rounding."""
    top, bottom = cayley(square, tall, quick=not certified)
    if certified:
        size = norm_upper_bound(Operator(torch.cat([top, bottom]))).clamp_min(1)
        top, bottom = top / size, bottom / size
    return top, bottom


def bounded_scale(exponents: Tensor) -> Tensor:
    """exp of the exponents, kept within e^-30 and e^30; the gradient never vanishes altogether."""
    return torch.exp(LARGEST * torch.tanh(exponents / LARGEST))


def exponents_for(scale: Tensor) -> Tensor:
    """What `bounded_scale` makes `scale` of; raises ValueError if it is not within its range."""
    part = scale.log() / LARGEST
    if not bool((part.abs() < 1).all()):
        raise ValueError(f"scales from {float(scale.min()):.3g} to {float(scale.max()):.3g} are outside e^-30 to e^30")
    return LARGEST * torch.atanh(part)


def gamma_and_logarithm(
    gamma: float, learn: bool, device: torch.device | None, dtype: torch.dtype | None
) -> tuple[float, nn.Parameter | None]:
    """The fixed constant and the parameter of a learned one; raises ValueError for constants that are not positive."""
    if not (gamma > 0 and math.isfinite(gamma)):
        raise ValueError(f"gamma must be positive and finite, not {gamma}")
    if not learn:
        return float(gamma), None
    exponent = exponents_for(torch.tensor(float(gamma), dtype=torch.float64))
    return float(gamma), nn.Parameter(exponent.to(device=device, dtype=dtype or torch.get_default_dtype()))


def gamma_of(gamma: float, logarithm: Tensor | None, dtype: torch.dtype) -> Tensor | float:
    """The constant: the fixed one, or the learned one in the precision `dtype`."""
    return gamma if logarithm is None else bounded_scale(logarithm.to(dtype))


def as_number(gamma: Tensor | float) -> float:
    """The constant as a number, without its gradient."""
    return float(gamma.detach()) if isinstance(gamma, Tensor) else gamma


def symbols(kernel: Tensor, size: tuple[int, int]) -> Tensor:
    """The matrices (height, width // 2 + 1, out, in) that a centred kernel is at the frequencies of a torus.

    Kernels larger than the torus wrap around. Frequencies that are left out are conjugates of these.
    """
    return torch.fft.rfft2(wrapped(kernel, size)).conj().permute(2, 3, 0, 1)


def full_kernel(matrices: Tensor, size: tuple[int, int]) -> Operator:
    """The circular convolution with these symbols as an odd, centred kernel."""
    kernel = torch.fft.irfft2(matrices.permute(2, 3, 0, 1).conj(), s=size)
    return Operator(centred(centred(kernel, 2), 3), Geometry((size[0] // 2, size[1] // 2), circular=True))


def _spread(matrix: Tensor, size: int) -> Tensor:
    """A random kernel of roughly the norm of the matrix's at every frequency."""
    return torch.randn(*matrix.shape, size, size, device=matrix.device, dtype=matrix.dtype) * matrix.std() / size


def _largest_norm(matrices: Tensor) -> Tensor:
    """An upper bound of the spectral norms of a batch of tall complex matrices."""
    squares = torch.linalg.eigvalsh(matrices.mH @ matrices)[..., -1]
    return squares.amax().clamp_min(0).sqrt() * (1 + ROUNDING * max(matrices.shape[-2:]))


FAMILY = Family(
    "sandwich",
    "Wang, Manchester 2023, Theorem 3.2",
    "√2 A' Psi phi(√2 Psi^-1 B x + b) with A A' + B B' = I",
    SandwichLinear,
    lambda n, m, k: SandwichConv2d(n, m, k, image_size=4),
)
