"""Elementwise activations with the interval that every slope of theirs lies in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy import special

Array = np.ndarray


@dataclass(frozen=True)
class Activation:
    """An elementwise function whose slopes `(phi(a) - phi(b)) / (a - b)` all lie in `[alpha, beta]`.

    `alpha` and `beta` are floats, or arrays that broadcast against the tensor (one slope a channel). They are
    rounded outward where the true end of the interval is no float64. `derivative` may return any slope of the
    interval at a kink; it is used to look for attained slopes, never to prove. `multiplier`, where a layer knows one
    by construction, is the neuron's multiplier in the condition of the whole network (broadcasts like the slopes).
    """

    name: str
    alpha: float | Array
    beta: float | Array
    function: Callable[[Array], Array] = field(repr=False, compare=False)
    derivative: Callable[[Array], Array] = field(repr=False, compare=False)
    multiplier: float | Array | None = field(default=None, repr=False, compare=False)

    def __call__(self, values: Array) -> Array:
        """Evaluate the activation elementwise."""
        return self.function(values)

    @property
    def is_linear(self) -> bool:
        """Whether the function is a multiplication by `alpha`."""
        return bool(np.all(np.asarray(self.alpha) == np.asarray(self.beta)))


def crop(multiplier: float | None = None) -> Activation:
    """The identity where a convolution is about to read: on a torus, neurons that pass what is inside the image."""
    return Activation("crop", 1.0, 1.0, lambda v: v, np.ones_like, multiplier)


def _step(values: Array) -> Array:
    return (values > 0).astype(float)


def relu() -> Activation:
    """ReLU, slopes [0, 1]."""
    return Activation("relu", 0.0, 1.0, lambda v: np.maximum(v, 0.0), _step)


def leaky_relu(slope: float | Array = 0.01) -> Activation:
    """LeakyReLU or PReLU with the given slope on the negative side, slopes between that slope and 1."""
    slope_array = np.asarray(slope, dtype=float)
    if not np.all(np.isfinite(slope_array)):
        raise ValueError("leaky_relu: the slope must be finite")
    slope = float(slope_array) if slope_array.ndim == 0 else slope_array
    return Activation(
        "leaky_relu",
        np.minimum(slope, 1.0) if slope_array.ndim else min(float(slope), 1.0),
        np.maximum(slope, 1.0) if slope_array.ndim else max(float(slope), 1.0),
        lambda v: np.where(v > 0, v, slope * v),
        lambda v: np.where(v > 0, 1.0, slope),
    )


def absolute() -> Activation:
    """Absolute value, slopes [-1, 1]."""
    return Activation("abs", -1.0, 1.0, np.abs, lambda v: np.where(v >= 0, 1.0, -1.0))


def sigmoid() -> Activation:
    """Logistic sigmoid, slopes [0, 1/4] (the derivative s(1-s) is largest at s = 1/2)."""

    def derivative(v: Array) -> Array:
        s = special.expit(v)
        return s * special.expit(-v)

    return Activation("sigmoid", 0.0, 0.25, special.expit, derivative)


def tanh() -> Activation:
    """Hyperbolic tangent, slopes [0, 1] (the derivative 1 - tanh^2 is largest at 0)."""
    return Activation("tanh", 0.0, 1.0, np.tanh, lambda v: 1.0 - np.tanh(v) ** 2)


def elu(scale: float = 1.0) -> Activation:
    """ELU `v` for v > 0, `a (e^v - 1)` else; its derivative is 1 or `a e^v`, slopes [min(0, a), max(1, a)]."""
    return Activation(
        "elu",
        min(0.0, scale),
        max(1.0, scale),
        lambda v: np.where(v > 0, v, scale * np.expm1(np.minimum(v, 0.0))),
        lambda v: np.where(v > 0, 1.0, scale * np.exp(np.minimum(v, 0.0))),
    )


def celu(scale: float = 1.0) -> Activation:
    """CELU `v` for v > 0, `a (e^(v/a) - 1)` else, a > 0; its derivative is 1 or `e^(v/a)`, slopes [0, 1]."""
    if not scale > 0:
        raise ValueError("celu: alpha must be positive")
    return Activation(
        "celu",
        0.0,
        1.0,
        lambda v: np.where(v > 0, v, scale * np.expm1(np.minimum(v, 0.0) / scale)),
        lambda v: np.where(v > 0, 1.0, np.exp(np.minimum(v, 0.0) / scale)),
    )


def selu(alpha: float = 1.6732632423543772, gamma: float = 1.0507009873554805) -> Activation:
    """SELU `gamma * elu_alpha(v)`, slopes [0, gamma max(1, alpha)] for alpha, gamma >= 0."""
    if alpha < 0 or gamma < 0:
        raise ValueError("selu: alpha and gamma must not be negative")
    inner = elu(alpha)
    return Activation(
        "selu",
        0.0,
        float(np.nextafter(gamma * max(1.0, alpha), np.inf)),
        lambda v: gamma * inner.function(v),
        lambda v: gamma * inner.derivative(v),
    )


def softplus() -> Activation:
    """Softplus `log(1 + e^v)`, slopes [0, 1] (the derivative is the sigmoid)."""
    return Activation("softplus", 0.0, 1.0, lambda v: np.logaddexp(0.0, v), special.expit)


def softsign() -> Activation:
    """Softsign `v / (1 + |v|)`, slopes [0, 1] (the derivative is (1 + |v|)^-2)."""
    return Activation("softsign", 0.0, 1.0, lambda v: v / (1 + np.abs(v)), lambda v: (1 + np.abs(v)) ** -2.0)


def arctan() -> Activation:
    """Arcus tangent, slopes [0, 1]."""
    return Activation("atan", 0.0, 1.0, np.arctan, lambda v: 1 / (1 + v * v))


def clip(lower: float | Array, upper: float | Array) -> Activation:
    """Clamp to [lower, upper] (ReLU6, hardtanh), slopes [0, 1]."""
    if np.any(np.asarray(lower) > np.asarray(upper)):
        raise ValueError("clip: the lower end is above the upper end")
    return Activation(
        "clip",
        0.0,
        1.0,
        lambda v: np.clip(v, lower, upper),
        lambda v: ((v > lower) & (v < upper)).astype(float),
    )


def hard_sigmoid(slope: float = 0.2, offset: float = 0.5) -> Activation:
    """Hard sigmoid `clip(slope * v + offset, 0, 1)`, slopes between 0 and `slope`."""
    return Activation(
        "hard_sigmoid",
        min(0.0, slope),
        max(0.0, slope),
        lambda v: np.clip(slope * v + offset, 0.0, 1.0),
        lambda v: np.where((slope * v + offset > 0) & (slope * v + offset < 1), slope, 0.0),
    )


def gelu() -> Activation:
    """GELU `v Phi(v)`; its derivative Phi + v Phi' has its extremes at v = -+sqrt(2), slopes [-0.128905, 1.128905].

    The extremes Phi(v) + v Phi'(v) at v = sqrt(2) and at v = -sqrt(2) are 1.12890413... and -0.12890413...
    """

    def derivative(v: Array) -> Array:
        return special.ndtr(v) + v * np.exp(-0.5 * v * v) / np.sqrt(2 * np.pi)

    return Activation("gelu", -0.128905, 1.128905, lambda v: v * special.ndtr(v), derivative)


def gelu_tanh() -> Activation:
    """GELU in its tanh form, slopes [-0.128994, 1.128994] (extremes of the derivative, 25 digits, rounded outward)."""
    c = np.sqrt(2 / np.pi)

    def function(v: Array) -> Array:
        return 0.5 * v * (1 + np.tanh(c * (v + 0.044715 * v**3)))

    def derivative(v: Array) -> Array:
        t = np.tanh(c * (v + 0.044715 * v**3))
        return 0.5 * (1 + t) + 0.5 * v * (1 - t * t) * c * (1 + 3 * 0.044715 * v * v)

    return Activation("gelu_tanh", -0.128994, 1.128994, function, derivative)


def silu() -> Activation:
    """SiLU (swish) `v sigmoid(v)`, slopes [-0.099840, 1.099840] (extremes of the derivative, rounded outward)."""

    def derivative(v: Array) -> Array:
        s = special.expit(v)
        return s + v * s * special.expit(-v)

    return Activation("silu", -0.099840, 1.099840, lambda v: v * special.expit(v), derivative)


def mish() -> Activation:
    """Mish `v tanh(softplus(v))`, slopes [-0.112527, 1.088499] (extremes of the derivative, rounded outward)."""

    def derivative(v: Array) -> Array:
        t = np.tanh(np.logaddexp(0.0, v))
        return t + v * (1 - t * t) * special.expit(v)

    return Activation("mish", -0.112527, 1.088499, lambda v: v * np.tanh(np.logaddexp(0.0, v)), derivative)


def hard_swish() -> Activation:
    """Hard swish `v clip(v/6 + 1/2, 0, 1)`; its derivative v/3 + 1/2 on (-3, 3) ends at -1/2 and 3/2."""
    return Activation(
        "hard_swish",
        -0.5,
        1.5,
        lambda v: v * np.clip(v / 6 + 0.5, 0.0, 1.0),
        lambda v: np.where(v >= 3, 1.0, np.where(v > -3, v / 3 + 0.5, 0.0)),
    )


def erf() -> Activation:
    """Error function, slopes [0, 2/sqrt(pi)] (the derivative 2/sqrt(pi) exp(-v^2) is largest at 0)."""
    top = 1.1283791670955126  # the float64 above or at 2/sqrt(pi) = 1.12837916709551257...
    return Activation("erf", 0.0, float(np.nextafter(top, 2.0)), special.erf, lambda v: top * np.exp(-v * v))


def sin() -> Activation:
    """Sine, slopes [-1, 1] (the derivative is the cosine)."""
    return Activation("sin", -1.0, 1.0, np.sin, np.cos)


def cos() -> Activation:
    """Cosine, slopes [-1, 1] (the derivative is minus the sine)."""
    return Activation("cos", -1.0, 1.0, np.cos, lambda v: -np.sin(v))


BY_NAME: dict[str, Callable[[], Activation]] = {
    "relu": relu,
    "leaky_relu": leaky_relu,
    "abs": absolute,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "elu": elu,
    "celu": celu,
    "selu": selu,
    "softplus": softplus,
    "softsign": softsign,
    "atan": arctan,
    "relu6": lambda: clip(0.0, 6.0),
    "hardtanh": lambda: clip(-1.0, 1.0),
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "silu": silu,
    "mish": mish,
    "hard_swish": hard_swish,
    "erf": erf,
    "sin": sin,
    "cos": cos,
}


def activation_by_name(name: str) -> Activation:
    """The activation with the given name and its usual parameters.

    Raises ValueError with the names that are known.
    """
    try:
        return BY_NAME[name]()
    except KeyError:
        raise ValueError(f"unknown activation {name!r}; known: {', '.join(sorted(BY_NAME))}, maxmin") from None
