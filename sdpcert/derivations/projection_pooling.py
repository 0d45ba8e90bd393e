"""Projection pooling: the signed distance to a wedge is 1-Lipschitz, and its formula."""

from sdpcert.certify import certify
from sdpcert.network import Network
from sdpcert.symbolic import Claim, Comparison, Derivation, Part, identity, matrix, positive, scalar, vector
from sdpcert.symbolic.steps import Sandwiches, Term

ONE = identity(1)


def within(name, bound, size="n"):
    """A vector of at most the norm `bound`, often of that norm."""

    def definition(instance):
        share = instance.draw(f"{name} share", 1, 1)[0, 0]
        return instance.orthogonal(name, instance.size(size))[:, :1] * instance.number(bound) * max(min(share, 1), -1)

    return definition


def nonnegative(name, latex=None):
    return scalar(name, latex=latex, definition=lambda instance: abs(instance.draw(name, 1, 1)))


# The triangle inequality for squares: p = x - y, q = y - s for a point s of the set that is nearest to y.
r, d = scalar("r", positive=True), scalar("d", positive=True)
p = vector("p", "n", definition=within("p", r))
q = vector("q", "n", definition=within("q", d))
near = [positive(r**2 * ONE, p.T @ p), positive(d**2 * ONE, q.T @ q)]
distance = positive((r + d) ** 2 * ONE, (p + q).T @ (p + q))

# A unit normal.
normal = matrix(
    "n",
    "k",
    1,
    definition=lambda instance: instance.orthogonal("normal", instance.size("k"))[:, :1],
    equal_to=lambda n: [(n.T @ n, ONE)],
)
step = vector("dx", "k", r"\Delta x", definition=within("dx", r, "k"))
supremum = positive(r * ONE, normal.T @ step)

# Coordinates along an edge and across it: s along, p across, and b l across for the part b of the other edge.
s, l = scalar("s"), scalar("l", positive=True, latex=r"\ell")
along, other, across, deep = nonnegative("a"), nonnegative("b"), nonnegative("p", "{p}"), nonnegative("o")
beside = positive(s**2 + (across + other * l) ** 2, across**2)
inside = positive(s**2 + (across + deep) ** 2, across**2)

# Behind the apex: x has no positive inner product with the edges e and f.
e, f, x = (vector(name, "n") for name in "efx")
first, second = positive(-e.T @ x), positive(-f.T @ x)
point = along * e + other * f
beyond = positive((x - point).T @ (x - point), x.T @ x)
known = [positive(along), positive(other)]


def numbers():
    """Certify a random linear map, and evaluate projection pooling after it."""
    import torch

    from sdpcert.layers import ProjectionPooling

    torch.manual_seed(0)
    pooling = ProjectionPooling(6).double()
    torch.nn.init.uniform_(pooling.angle, 0, torch.pi)
    weight = torch.randn(6, 4, dtype=torch.float64)
    inputs = torch.randn(2000, 4, dtype=torch.float64)
    steps = torch.randn(2000, 4, dtype=torch.float64)
    with torch.no_grad():
        change = pooling((inputs + steps) @ weight.T) - pooling(inputs @ weight.T)
    proved = certify(Network.mlp([weight.numpy()])).upper
    ratio = float((change.norm(dim=1) / steps.norm(dim=1)).max())
    return [Comparison("sampled after a linear map, its proved bound", ratio, "<=", proved)]


derivation = Derivation(
    title="Projection pooling",
    source="Singla, Feizi: Improved techniques for deterministic l2 robustness, NeurIPS 2022",
    statement=r"The distance to a nonempty closed set, and a supremum of $n^\top x$ over unit vectors $n$, are "
    r"1-Lipschitz. The signed distance of $(x,y)$ to the wedge of opening $\theta\in(0,\pi)$ around the half line "
    r"$y=0,\ x\ge0$, negative inside, is $p=|y|\cos\frac\theta2-x\sin\frac\theta2$ where $p\le0$ or "
    r"$t=x\cos\frac\theta2+|y|\sin\frac\theta2\ge0$, "
    r"and $\|(x,y)\|$ elsewhere: projection pooling, which takes it for each pair of channels, is 1-Lipschitz.",
    parts=[
        Part(
            Claim(
                "distance to a set",
                distance,
                near,
                r"For points $x$ and $\tilde x$ at the distance $r$ and a point $s$ of the set nearest to "
                r"$\tilde x$, at the distance $d$, put $p=x-\tilde x$ and $q=\tilde x-s$: the distance of $x$ to "
                r"the set is at most $\|x-s\|\le r+d$.",
            ),
            [
                Sandwiches(
                    distance,
                    Term(r**2 * ONE - p.T @ p, None, 1 + d * r**-1),
                    Term(d**2 * ONE - q.T @ q, None, 1 + r * d**-1),
                    Term(identity("n"), p - r * d**-1 * q, d * r**-1),
                )
            ],
        ),
        Part(
            Claim(
                "a supremum of unit normals",
                supremum,
                [positive(r**2 * ONE, step.T @ step)],
                r"$n^\top n=1$; a supremum of 1-Lipschitz functions is 1-Lipschitz.",
            ),
            [
                Sandwiches(
                    supremum,
                    Term(r**2 * ONE - step.T @ step, None, r**-1 / 2),
                    Term(identity("k"), r * normal - step, r**-1 / 2),
                )
            ],
        ),
        Part(
            Claim(
                "beside an edge",
                beside,
                [positive(other), positive(across)],
                r"$e$ is the unit vector of the nearer edge, $v$ its unit normal that points outwards, "
                r"$x=te+pv$ with $p\ge0$. Points of the wedge are $ae+b(e\cos\theta-\ell v)$, $a,b\ge0$, "
                r"$\ell=\sin\theta$, at "
                r"the squared "
                r"distance on the left, $s=t-a-b\cos\theta$. For $t\ge0$ the distance $p$ is attained at $te$.",
            ),
            [Sandwiches(beside, Term(ONE, s), Term(ONE, other * l), Term(across, None, 2 * l * other))],
        ),
        Part(
            Claim(
                "beyond the apex",
                beyond,
                [first, second, *known],
                r"$e$ and $f$ are the edges and $e^\top x\le0$, $f^\top x\le0$: no point $ae+bf$ of the wedge "
                r"is nearer than the apex.",
            ),
            [
                Sandwiches(
                    beyond,
                    Term(identity("n"), point),
                    Term(-e.T @ x, None, 2 * along),
                    Term(-f.T @ x, None, 2 * other),
                )
            ],
        ),
        Part(
            Claim(
                "inside",
                inside,
                [positive(across), positive(deep)],
                r"$x=te-pv$ with $p\ge0$, and a point beyond the edge is $(t-s)e+ov$ with $o\ge0$: it is no "
                r"nearer than $p$, attained at $te$. The nearer of the two edges gives the distance to the complement.",
            ),
            [Sandwiches(inside, Term(ONE, s), Term(ONE, deep), Term(across, None, 2 * deep))],
        ),
    ],
    controls=[
        Part(
            Claim(
                "the distance to the apex everywhere outside",
                positive((x - point).T @ (x - point), x.T @ x),
                [second, *known],
                "Only $f^\\top x\\le0$ is given.",
            )
        ),
        Part(
            Claim(
                "normals of any norm",
                positive(r * ONE, vector("n", "k").T @ step),
                [positive(r**2 * ONE, step.T @ step)],
            )
        ),
    ],
    numbers=numbers,
    remark=r"The first claim is trivial for $r=0$ or $d=0$. A segment from inside to outside meets the boundary, "
    r"where both distances vanish, so that the "
    r"signed distance is 1-Lipschitz if the two distances are. By the symmetry $y\mapsto-y$ the nearer edge is that "
    r"of the sign of $y$; where "
    r"its $t$ is negative, so is that of the other edge, $x\cos\frac\theta2-|y|\sin\frac\theta2\le t$. Pairs of "
    r"channels have norms "
    r"that add up in squares.",
)
