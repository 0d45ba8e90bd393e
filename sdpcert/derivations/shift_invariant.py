"""Multipliers that are constant over space are optimal for networks that commute with shifts."""

from dataclasses import replace
from fractions import Fraction

from sdpcert.symbolic import (
    Claim,
    Comparison,
    Derivation,
    Layer,
    Part,
    diagonal,
    diagonal_block,
    equal,
    identity,
    matrix,
    positive,
    scalar,
    symmetric,
    symmetric_block,
)
from sdpcert.symbolic.layer import condition_with
from sdpcert.symbolic.steps import Congruence, Identity, Sandwiches, Term
from sdpcert.symbolic.written import written

# Two channels of hidden neurons, one of inputs and outputs, n positions.
sizes = {"m": lambda chosen: 2 * chosen["n"], "q": lambda chosen: chosen["n"]}


def shift(instance, channels):
    """The cyclic shift of the positions in every channel."""
    n = instance.size("n")
    made = 0 * instance.identity(channels * n)
    for channel in range(channels):
        for position in range(n):
            made[channel * n + (position + 1) % n, channel * n + position] += 1
    return made


def permutation(name, size, channels):
    """A shift, orthogonal."""

    def facts(S):
        return [(S.T @ S, identity(size))]

    return matrix(name, size, size, definition=lambda instance: shift(instance, channels), equal_to=facts)


def circular(name, rows, columns, channels, norm=None):
    """Circular convolutions between channels, a matrix that commutes with shifts, of that norm or hardly less."""

    def definition(instance):
        n, (outward, inward) = instance.size("n"), channels
        taps = instance.draw(name, outward * inward, n)
        made = instance.array([[0] * (inward * n)] * (outward * n))
        for o in range(outward):
            for i in range(inward):
                for position in range(n):
                    for offset in range(n):
                        made[o * n + (position + offset) % n, i * n + position] += taps[o * inward + i, offset]
        if norm is None:
            return made
        return made * instance.array([norm])[0] / instance.root(instance.norm_above(made))

    return matrix(name, rows, columns, definition=definition)


def between(name, size):
    """A diagonal matrix with entries from 1 to 2."""

    def definition(instance):
        drawn = instance.draw(f"{name} shares", instance.size(size), 1)[:, 0]
        return instance.diagonal([1 + abs(x) / (1 + abs(x)) for x in drawn])

    return diagonal(name, size, definition=definition)


def energy(name, layers):
    """A number hardly above the least rho with which the conditions of all layers hold (made for rho = 0)."""

    def definition(instance):
        values = []
        for layer in layers:
            (top, across), (_, corner) = layer.condition().entries
            top, across, corner = (instance.value(e) for e in (top, across, corner))
            least = across @ instance.inverse(corner) @ across.T - top
            values.append(instance.root(instance.norm_above(least)))
        return instance.diagonal([max(values)])

    return scalar(name, positive=True, definition=definition)


Sx, Sz, Sy = permutation("S_x", "n", 1), permutation("S_z", "m", 2), permutation("S_y", "q", 1)
Kx, Kz = circular("K_x", "m", "n", (2, 1)), circular("K_z", "m", "m", (2, 2), Fraction(1, 8))
Fx, Fz = circular("F_x", "q", "n", (1, 1)), circular("F_z", "q", "m", (1, 2), Fraction(1, 2))
L, other = between("Lambda", "m"), between("Lambda_1", "m")


def network(multipliers, rho):
    """The stacked form."""
    return Layer(H=Fx, G=Fz, U=Kx, W=Kz, multipliers=multipliers, squared_lipschitz=rho)


rho = energy("rho", [network(L, 0)])
both = energy("rho", [network(L, 0), network(other, 0)])
w = scalar("w", definition=lambda i: i.diagonal(abs(i.draw("w", 1, 1)[0]) / (1 + abs(i.draw("w", 1, 1)[0]))))
commute = [equal(Kx @ Sx, Sz @ Kx), equal(Kz @ Sz, Sz @ Kz), equal(Fx @ Sx, Sy @ Fx), equal(Fz @ Sz, Sy @ Fz)]
S = diagonal_block(Sx, Sz)
shifted, condition = condition_with(network(None, rho), Sz.T @ L @ Sz), network(L, rho).condition()
mixed = network(w * L + (1 - w) * other, both)

mixed_claim = mixed.claim(
    "Means are feasible",
    [positive(w), positive(1 - w), network(L, both).claim("").show, network(other, both).claim("").show],
    r"The condition is affine in the multipliers, so feasible ones with one $\rho$ form a convex set.",
    **sizes,
)

# How the statements are printed.
M11, M12, M22 = symmetric("M_11", "n"), matrix("M_12", "n", "m"), symmetric("M_22", "m")
(top, across), (_, corner) = condition.entries
blocks = {M11: top, M12: across, M22: corner}
conjugated = symmetric_block([[Sx.T @ M11 @ Sx, Sx.T @ M12 @ Sz], [Sz.T @ M22 @ Sz]])
turned = symmetric("Lambda'", "m", latex=r"\Lambda'")
average = diagonal("Lambda_mean", "m", positive=False, latex=r"\bar\Lambda")
mixed_claim = replace(
    mixed_claim,
    show=written(mixed_claim.show, positive(network(average, both).condition()), {average: w * L + (1 - w) * other}),
)

# The mean over the shifts of three positions.
R = matrix(
    "S",
    "n",
    "n",
    definition=lambda instance: shift(instance, 1),
    equal_to=lambda R: [(R.T @ R, identity("n")), (R @ R.T, identity("n")), (R @ R @ R, identity("n"))],
)
own = diagonal("Lambda", "n")
mean = Fraction(1, 3) * (own + R.T @ own @ R + R.T @ R.T @ own @ R @ R)


# Wrong: zero padding, where the shift takes one position across the border.
def lower(instance):
    """The convolution with one tap at the offset 1, without wrapping."""
    size = instance.size("n")
    made = shift(instance, 1)
    made[0, size - 1] -= 1
    return made


padded, Fp, T = matrix("K_x", "n", "n", definition=lower), diagonal("F_z", "n"), permutation("S", "n", 1)
Lp = diagonal("Lambda", "n")


def zero_padded(multipliers, rho):
    """One hidden layer after a convolution with zero padding."""
    return Layer(G=Fp, U=padded, multipliers=multipliers, squared_lipschitz=rho)


def least(instance):
    """A number hardly above the least rho for `Lp`."""
    inner = instance.inverse(instance.value(2 * Lp - Fp @ Fp))
    reads = instance.value(padded.T @ Lp)
    return instance.diagonal([instance.root(instance.norm_above(reads @ inner @ reads.T))])


energy_p = scalar("rho", positive=True, definition=least)
given_p = [zero_padded(Lp, energy_p).claim("").show]


def numbers():
    """Certify a circular convolutional network with one multiplier per channel, and with one per pixel."""
    import torch
    from torch import nn

    from sdpcert.certify import certify
    from sdpcert.torch_modules.reader import from_torch

    torch.manual_seed(0)
    modules = [
        nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"),
        nn.ReLU(),
        nn.Conv2d(2, 1, 3, padding=1, padding_mode="circular"),
    ]
    made = from_torch(nn.Sequential(*modules), (1, 4, 4))
    pixels, channels = certify(made, "neuron"), certify(made, "neuron", form="frequency")
    return [Comparison("one multiplier per channel, beside one per pixel", channels.upper, "==", pixels.upper, 1e-4)]


derivation = Derivation(
    title="Shift-invariant multipliers",
    source="Gatermann, Parrilo: Symmetry groups, semidefinite programs, and sums of squares, Journal of "
    "Pure and Applied Algebra 192, 2004 (the averaging)",
    statement=r"Let a finite group of shifts act on inputs, neurons and outputs by permutations $S_x$, $S_z$, $S_y$ "
    r"with "
    r"$K_xS_x=S_zK_x$, $K_zS_z=S_zK_z$, $F_xS_x=S_yF_x$, $F_zS_z=S_yF_z$, as for circular convolutions, and let "
    r"$M(\rho,\Lambda)$ "
    r"be the matrix of the condition. Then $S^\top M(\rho,\Lambda)S=M(\rho,S_z^\top\Lambda S_z)$ with "
    r"$S=\operatorname{diag}(S_x,"
    r"S_z)$. If $M(\rho,\Lambda)\succeq0$ for a diagonal $\Lambda\succeq0$, then for its mean over the group as well, "
    r"which is "
    r"constant over space: one multiplier per channel reaches the least $\rho$.",
    parts=[
        Part(
            Claim(
                "Shifted multipliers",
                written(
                    equal(S.T @ condition @ S, shifted),
                    equal(conjugated, condition_with(network(None, rho), turned)),
                    {**blocks, turned: Sz.T @ L @ Sz},
                ),
                commute,
                r"The left side is $S^\top M(\rho,\Lambda)S$, the right one $M(\rho,S_z^\top\Lambda S_z)$.",
                sizes,
            ),
            [Identity(S.T @ condition @ S, shifted)],
        ),
        Part(
            Claim(
                "They are feasible",
                positive(shifted),
                [*commute, positive(condition)],
                r"$M(\rho,\Lambda)\succeq0$ gives $M(\rho,S_z^\top\Lambda S_z)\succeq0$; $S_z^\top\Lambda S_z$ is "
                r"diagonal and "
                r"nonnegative, because $S_z$ is a permutation.",
                sizes,
            ),
            [Congruence(positive(shifted), condition, S)],
        ),
        Part(
            mixed_claim,
            [
                Sandwiches(
                    mixed.claim("").show,
                    Term(network(L, both).condition(), None, w),
                    Term(network(other, both).condition(), None, 1 - w),
                )
            ],
        ),
        Part(
            Claim(
                "The mean is invariant",
                equal(mean @ R, R @ mean),
                [],
                r"Three positions with the shift $S$, $S^3=I$: the mean $\bar\Lambda$ of the shifted multipliers "
                r"commutes with "
                r"$S$, and a diagonal matrix that commutes with the shift is constant over space.",
                {"n": 3},
            ),
            [Identity(mean @ R, R @ mean)],
        ),
    ],
    controls=[
        Part(
            Claim(
                "Zero padding",
                positive(condition_with(zero_padded(None, energy_p), T.T @ Lp @ T)),
                given_p,
                r"The same shift of the multipliers, where $K_x$ is a convolution with zero padding, which does not "
                r"commute "
                r"with it.",
            ),
        ),
        Part(
            Claim(
                "The mean with zero padding",
                positive(condition_with(zero_padded(None, energy_p), Fraction(1, 2) * (Lp + T.T @ Lp @ T))),
                given_p,
                r"Two positions: the multipliers' mean over space.",
                {"n": 2},
            ),
        ),
        Part(
            Claim(
                "Without the shift of the neurons",
                written(
                    equal(S.T @ condition @ S, condition),
                    equal(conjugated, symmetric_block([[M11, M12], [M22]])),
                    blocks,
                ),
                commute,
                r"$S^\top M(\rho,\Lambda)S=M(\rho,\Lambda)$ holds only for multipliers that are constant over space.",
                sizes,
            ),
        ),
    ],
    numbers=numbers,
    remark=r"The mean over a finite group $\{S_g\}$ is $\bar\Lambda=\frac1{|G|}\sum_gS_g^\top\Lambda S_g$: feasible "
    r"by the second "
    r"claim and, as a convex combination, by the third; invariant, because a shift only permutes the sum. On the "
    r"torus the "
    r"group is transitive over space, so that $\bar\Lambda$ has one value per channel.",
)
