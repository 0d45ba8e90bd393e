"""The step that makes a zero-padded convolution a crop of a circular one, and what it has to reject."""

import pytest

from sdpcert.errors import StepRejected
from sdpcert.symbolic import equal, orthonormal
from sdpcert.symbolic.claim import Claim
from sdpcert.symbolic.kernel import check
from sdpcert.symbolic.steps import Known
from sdpcert.symbolic.steps.torus import Crop, Kernel, convolution, crop

KERNEL = Kernel("c", "n", "N")
Z, C, P = convolution("Z", KERNEL, "zeros"), convolution("C", KERNEL, "circular"), crop("P", "N", "n")
LARGER = {"N": lambda sizes: sizes["n"] + sizes["N"]}


def test_a_zero_padded_convolution_is_a_crop() -> None:
    claim = Claim("crop", equal(Z, P.T @ C @ P), sizes=LARGER)
    result = check(claim, [Crop(Z, C, P)])
    assert result.proved
    assert result.instances > 10
    assert "offset" in Crop(Z, C, P).explanation()


@pytest.mark.parametrize(
    "step",
    [
        Crop(C, C, P),
        Crop(Z, Z, P),
        Crop(convolution("R", KERNEL, "reflect"), C, P),
        Crop(Z, convolution("C", Kernel("d", "n", "N"), "circular"), P),
        Crop(Z, convolution("C", Kernel("c", "n", "M"), "circular"), P),
        Crop(Z, C, crop("P", "M", "n")),
        Crop(Z, C, orthonormal("P", "N", "n")),
    ],
    ids=["not padded", "not circular", "reflect", "other kernel", "other torus", "other crop", "no crop"],
)
def test_other_matrices_are_rejected(step: Crop) -> None:
    claim = Claim("crop", equal(Z, P.T @ C @ P), sizes=LARGER)
    with pytest.raises(StepRejected):
        step.derive(Known(claim))


def test_a_reach_beyond_the_torus_is_rejected() -> None:
    kernel = Kernel("c", "n", "N", reach=1)
    near, around = convolution("Z", kernel, "zeros"), convolution("C", kernel, "circular")
    claim = Claim("crop", equal(near, P.T @ around @ P), sizes={"N": lambda sizes: sizes["n"]})
    assert not check(claim, [Crop(near, around, P)]).proved


def test_an_unknown_padding_is_refused() -> None:
    with pytest.raises(ValueError, match="zeros, circular or reflect"):
        convolution("Z", KERNEL, "replicate")
