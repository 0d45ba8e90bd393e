"""The settings of a run: frozen tables with types, ranges and defaults, one class per kind of table."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from sdpcert.running.extras import needed_by

with needed_by("training", "train"):
    from pydantic import BaseModel, ConfigDict, Field, model_validator
    from pydantic import ValidationError as ValidationError

Positive = Annotated[int, Field(gt=0, le=1_000_000)]
Fraction = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
Activation = Literal["maxmin", "householder", "abs", "partial-abs", "relu"]
Head = Literal["normalized", "orthogonal", "mlp"]


class Section(BaseModel):
    """A table of the file: unknown keys, wrong types and numbers that are not finite are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class DataSettings(Section):
    """Which images, where they are, where decoded arrays are kept, and what the network does to them first."""

    name: Literal["digits", "mnist", "fashion-mnist", "cifar10", "cifar100"] = "digits"
    root: str | None = None
    cache: str | None = None
    normalisation: Literal["none", "centre", "standardise"] = "centre"


class DenseModel(Section):
    """A chain of dense layers, `hidden` has one size per layer.

    `features`, if not 0, is how many numbers an orthogonal layer makes of the inputs first; residual layers keep that
    number, and `hidden` counts their neurons.
    """

    architecture: Literal["dense"]
    family: Literal[
        "sll", "cpl", "aol", "spectral", "cayley", "bjorck", "bro", "cholesky", "sandwich", "sandwich-network"
    ] = "sll"
    hidden: tuple[Positive, ...] = Field(default=(128, 128), min_length=1, max_length=1000)
    features: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    activation: Activation = "maxmin"
    head: Head = "normalized"
    head_hidden: Positive = 256


class ResidualModel(Section):
    """Convolutional, then dense residual blocks (Araujo et al. 2023; Meunier et al. 2022).

    `convolutions` blocks with `channels` and `inner` times as many hidden channels, sums over `pooling` x `pooling`
    pixels, `dense` blocks with `dense_hidden` neurons. With `patch` above 1 the pixels of `patch` x `patch` are
    channels from the first block on, which makes a step that many times cheaper.
    """

    architecture: Literal["residual"]
    family: Literal["sll", "cpl"] = "sll"
    patch: Positive = 1
    convolutions: Positive = 20
    channels: Positive = 45
    inner: Positive = 5
    kernel: Positive = 3
    pooling: Positive = 4
    dense: Annotated[int, Field(ge=0, le=1000)] = 7
    dense_hidden: Positive = 2048
    head: Head = "normalized"
    head_hidden: Positive = 256


class ConvolutionalModel(Section):
    """Stages of `layers` convolutions that end with half the resolution, by space-to-depth; then `dense` layers.

    Stage k has `channels[k]` channels and leaves with `outputs[k]`. With `halving` "convolution" its last convolution
    reads the image after space-to-depth; with "selection" a quarter of `outputs[k]` channels is kept before it; with
    "stride", for the family aoc, it has stride 2.
    `terms` and `fast_gradient` are those of skew orthogonal convolutions (`sdpcert.layers.SOCConv2d`).
    """

    architecture: Literal["convolutional"]
    family: Literal[
        "sll", "cpl", "aol", "spectral", "bjorck", "cayley", "bcop", "aoc", "bro", "soc", "linear-residual", "sandwich"
    ] = "aol"
    channels: tuple[Positive, ...] = Field(default=(32, 64), min_length=1, max_length=20)
    outputs: tuple[Positive, ...] = Field(default=(32, 64), min_length=1, max_length=20)
    layers: Positive = 2
    halving: Literal["convolution", "selection", "stride"] = "convolution"
    kernel: Positive = 3
    circular: bool = False
    terms: Annotated[int, Field(ge=2, le=40)] = 12
    fast_gradient: bool = False
    dense: tuple[Positive, ...] = Field(default=(), max_length=1000)
    activation: Activation = "maxmin"
    head: Head = "normalized"
    head_hidden: Positive = 256

    @model_validator(mode="after")
    def _stages(self) -> ConvolutionalModel:
        if len(self.channels) != len(self.outputs):
            raise ValueError(
                f"channels and outputs need one number per stage, not {len(self.channels)} and {len(self.outputs)}"
            )
        if self.halving == "stride" and self.family != "aoc":
            raise ValueError(f"halving by stride is for the family 'aoc', not {self.family!r}")
        if self.halving == "selection":
            for inner, outer in zip(self.channels, self.outputs, strict=True):
                if outer % 4 or outer > 4 * inner:
                    raise ValueError(
                        f"halving by selection makes multiples of 4 up to {4 * inner} channels, not {outer}"
                    )
        return self


class CertificateTerm(Section):
    """`certificate` is the weight of `-relu(certified radius)` in the loss (Singla, Singla, Feizi 2022)."""

    certificate: NotNegative = 0.0


class CrossEntropySettings(CertificateTerm):
    """Cross-entropy of `(logits - offset at the label) / temperature`, times the temperature (Prach, Lampert 2022)."""

    name: Literal["cross-entropy"]
    offset: float = 0.0
    temperature: Annotated[float, Field(gt=0)] = 1.0


class MultiMarginSettings(CertificateTerm):
    """Sum over the other classes of `relu(margin - (f_y - f_j))`, divided by the number of classes."""

    name: Literal["multi-margin"]
    margin: Annotated[float, Field(gt=0)] = 0.7


class HKRSettings(CertificateTerm):
    """`(1 - alpha)` times Kantorovich-Rubinstein plus `alpha` times hinge (Serrurier et al. 2021)."""

    name: Literal["hkr"]
    alpha: Fraction = 0.95
    margin: Annotated[float, Field(gt=0)] = 1.0


class LogitAnnealingSettings(CertificateTerm):
    """`-T (1 - p)^exponent log p` with p as in the cross-entropy with offset (Lai, Huang, Kung, Chen 2025)."""

    name: Literal["logit-annealing"]
    offset: float = 2.8284271247461903
    temperature: Annotated[float, Field(gt=0)] = 0.75
    exponent: NotNegative = 5.0


class EMMASettings(CertificateTerm):
    """Cross-entropy with every other class ahead by what a perturbation up to `radius` may give it (Hu et al. 2023)."""

    name: Literal["emma"]
    radius: Annotated[float, Field(gt=0)] = 0.5
    temperature: Annotated[float, Field(gt=0)] = 1.0


class GloRoSettings(CertificateTerm):
    """Cross-entropy plus `weight` times the divergence from the prediction that may be "not robust" (Leino 2021)."""

    name: Literal["gloro"]
    radius: Annotated[float, Field(gt=0)] = 0.5
    weight: NotNegative = 1.0


class OptimiserSettings(Section):
    """What all optimisers have; weight decay applies to every parameter.

    With `lookahead` k above 0 slow weights follow the others every k steps by the share `slow`, and the others go on
    from there (Zhang, Lucas, Hinton, Ba 2019).
    """

    lookahead: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    slow: Annotated[float, Field(gt=0, le=1)] = 0.5
    learning_rate: Annotated[float, Field(gt=0, le=1e6)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    clip: NotNegative = 0.0


class SGDSettings(OptimiserSettings):
    """Stochastic gradient descent."""

    name: Literal["sgd"]
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = False

    @model_validator(mode="after")
    def _momentum(self) -> SGDSettings:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class AdamSettings(OptimiserSettings):
    """Adam, with decoupled weight decay AdamW, or with Nesterov's momentum NAdam."""

    name: Literal["adam", "adamw", "nadam"]
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    epsilon: Annotated[float, Field(gt=0)] = 1e-8


class ConstantSchedule(Section):
    """The learning rate as it is."""

    name: Literal["constant"]


class CosineSchedule(Section):
    """Linear warm-up for the fraction `warmup` of the run, then half a cosine to zero."""

    name: Literal["cosine"]
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0


class TriangularSchedule(Section):
    """Linear to the learning rate at the fraction `peak` of the run, then linear to zero (one cycle)."""

    name: Literal["triangular"]
    peak: Fraction = 0.3


class StepSchedule(Section):
    """The learning rate times `factor` at each of `milestones`, fractions of the run."""

    name: Literal["steps"]
    milestones: tuple[Fraction, ...] = (0.5, 0.75)
    factor: Annotated[float, Field(gt=0, le=1)] = 0.1


class AugmentSettings(Section):
    """Random shifts by up to `crop` pixels with zeros around, and horizontal flips."""

    crop: Annotated[int, Field(ge=0, le=64)] = 0
    flip: bool = False


class TrainingSettings(Section):
    """How long and how: exactly one of `epochs` and `minutes`.

    `averaging` is the decay of averaged weights (0: none), in step k at most (1 + k) / (10 + k), so that a short run
    does not end with what it began with.
    `radii` are the l2 radii on the input scale 0 to 1 at which the log has certified accuracy; `evaluate_every` is in
    epochs, 0 only at the end. `batch` is the global batch, whatever the number of processes. `threads` of the CPU, 0 as
    torch has them: small networks are fastest with one, above all on a busy machine.
    """

    epochs: Positive | None = None
    minutes: Annotated[float, Field(gt=0)] | None = None
    batch: Positive = 256
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    averaging: Annotated[float, Field(ge=0, lt=1)] = 0.0
    evaluate_every: Annotated[int, Field(ge=0)] = 1
    radii: tuple[NotNegative, ...] = (0.1411764705882353, 0.5)
    checkpoint_seconds: NotNegative = 30.0
    compile: bool = False
    threads: Annotated[int, Field(ge=0, le=1024)] = 0

    @model_validator(mode="after")
    def _length(self) -> TrainingSettings:
        if (self.epochs is None) == (self.minutes is None):
            raise ValueError("exactly one of epochs and minutes must be given")
        return self


ModelSettings = Annotated[DenseModel | ResidualModel | ConvolutionalModel, Field(discriminator="architecture")]
LossSettings = (
    CrossEntropySettings | MultiMarginSettings | HKRSettings | LogitAnnealingSettings | EMMASettings | GloRoSettings
)
AnyOptimiser = Annotated[SGDSettings | AdamSettings, Field(discriminator="name")]
ScheduleSettings = Annotated[
    ConstantSchedule | CosineSchedule | TriangularSchedule | StepSchedule, Field(discriminator="name")
]
#: Tables of several kinds, and the key that tells the kinds apart.
KINDS = {"model": "architecture", "loss": "name", "optimiser": "name", "schedule": "name"}


class Config(Section):
    """All settings of a run."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    data: DataSettings = DataSettings()
    model: ModelSettings
    loss: Annotated[LossSettings, Field(discriminator="name")] = CrossEntropySettings(name="cross-entropy")
    optimiser: AnyOptimiser = AdamSettings(name="adam")
    schedule: ScheduleSettings = TriangularSchedule(name="triangular")
    augment: AugmentSettings = AugmentSettings()
    training: TrainingSettings

    @model_validator(mode="after")
    def _head(self) -> Config:
        needs = "loss.certificate" if self.loss.certificate > 0 else f"the loss {self.loss.name!r}"
        if (self.loss.certificate > 0 or self.loss.name in ("emma", "gloro")) and self.model.head == "mlp":
            raise ValueError(f"{needs} needs a head with one constant per pair of classes, which 'mlp' has not")
        return self

    def table(self) -> dict[str, Any]:
        """The settings as nested dictionaries of plain values."""
        return self.model_dump(mode="json")

    def fingerprint(self) -> str:
        """SHA-256 of everything that the trained weights depend on: not of folders and of how often one saves."""
        return hashlib.sha256(json.dumps(self.essentials(), sort_keys=True).encode()).hexdigest()

    def essentials(self) -> dict[str, Any]:
        """What the fingerprint is about."""
        table = self.table()
        for section, key in (("data", "root"), ("data", "cache"), ("training", "checkpoint_seconds")):
            del table[section][key]
        if not self.optimiser.lookahead:  # runs from before there were slow weights keep their fingerprint
            del table["optimiser"]["lookahead"], table["optimiser"]["slow"]
        return table
