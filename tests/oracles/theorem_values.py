"""Theorems of proof files on random numbers: what their text says, evaluated by NumPy and nothing of the checker."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import numpy as np

Array = np.ndarray
TOLERANCE = 1e-7
#: What numbers that do not fit the text raise: no instance.
UNFIT = (ValueError, ArithmeticError, np.linalg.LinAlgError, LookupError, RecursionError)


class NoInstance(Exception):
    """The numbers that were drawn do not satisfy the hypotheses, or the text cannot be evaluated."""


class Values:
    """Random numbers for the symbols of a theorem, of random dimensions from 1 to 3."""

    def __init__(self, theorem: dict[str, Any], rng: np.random.Generator) -> None:
        self.theorem, self.rng = theorem, rng
        self.sizes: dict[str, int] = {}
        self.scale = float(rng.choice([1.0, 0.5, 0.2, 0.05]))
        self.found: dict[str, Array] = {}
        for name in theorem["symbols"]:
            self.symbol(name)

    def size(self, dimension: Any) -> int:
        if str(dimension).isdigit():
            return int(dimension)
        return self.sizes.setdefault(dimension, int(self.rng.integers(1, 4)))

    def symbol(self, name: str) -> Array:
        if name not in self.found:
            meaning = self.theorem.get("meanings", {}).get(name)
            self.found[name] = self.free(name) if meaning is None else self.made(name, meaning)
        return self.found[name]

    def free(self, name: str) -> Array:
        declared = self.theorem["symbols"][name]
        if declared.startswith("root of"):
            return np.array([[float(declared.split()[-1]) ** 0.5]])
        positive = declared.startswith("positive")
        kind, *size = declared.removeprefix("positive ").split(" ", 1)
        if kind == "scalar":
            value = self.rng.standard_normal() * self.scale
            return np.array([[abs(value) + 0.01 if positive else value]])
        rows, columns = (self.size(d) for d in size[0].split(" x "))
        X = self.rng.standard_normal((rows, columns)) * self.scale
        if kind == "diagonal":
            return np.diag(np.exp(np.diag(X)) if positive else np.diag(X))
        if kind == "symmetric":
            return X @ X.T + 0.01 * np.eye(rows) if positive else X + X.T
        return X - X.T if kind == "skew" else X

    def made(self, name: str, meaning: dict[str, Any]) -> Array:
        (kind, body), scalar = next(iter(meaning.items())), "scalar" in self.theorem["symbols"][name]
        positive = "positive" in self.theorem["symbols"][name]
        if kind == "trace":
            value = np.trace(self.sum(body["matrix"], body["size"], body["size"]))
            return np.array([[value if value or not positive else 1.0]])
        if kind == "ones":
            return np.ones(self.free(name).shape)
        if kind == "diagonal":
            return np.diag(np.diag(self.sum(body["matrix"], body["size"], body["size"])))
        if kind != "rule":
            raise NoInstance
        rows = np.sum([self.part(part) for part in body], axis=0)
        rows = np.array([rows.max()]) if scalar else rows
        if np.any(rows < 0):
            raise NoInstance
        return np.diag(np.where(rows == 0, 1.0, rows))

    def part(self, part: dict[str, Any]) -> Array:
        G = self.sum(part["matrix"], part["size"], part["size"])
        G = np.abs(G) if part["absolute"] else G
        n = len(G)
        rows, columns = np.ones((n, 1)), np.ones((1, n))
        for name, exponent, at in part["weights"]:
            powers = np.diag(self.symbol(name)) ** float(Fraction(exponent))
            rows, columns = (rows * powers[:, None], columns) if at == "i" else (rows, columns * powers[None, :])
        table = {"ij": G, "jj": np.tile(np.diag(G), (n, 1)), "ii": np.diag(np.diag(G))}[part["entry"]] * rows * columns
        table = table - np.diag(np.diag(table)) if part["without"] and part["entry"] != "ii" else table
        return float(Fraction(part["scale"])) * table.sum(axis=1)

    def sum(self, text: str, rows: Any, columns: Any) -> Array:
        m, n = self.size(rows), self.size(columns)
        total, sign = np.zeros((m, n)), 1.0
        for piece in re.split(r"( [+-] )", text):
            if piece in (" + ", " - "):
                sign = 1.0 if piece == " + " else -1.0
                continue
            total, sign = total + sign * self.term(piece, m, n), 1.0
        return total

    def term(self, text: str, m: int, n: int) -> Array:
        number, product = 1.0, None
        text, number = (text[1:], -1.0) if re.match(r"-[A-Za-z]", text) else (text, 1.0)
        for factor in text.split("*"):
            if re.fullmatch(r"-?\d+(/\d+)?", factor):
                number *= float(Fraction(factor))
            elif factor != "I":
                match = re.fullmatch(r"(\w+)('?)(?:\^(.+))?", factor)
                if match is None or match[1] not in self.theorem["symbols"]:
                    raise NoInstance
                declared = self.theorem["symbols"][match[1]]
                value = self.symbol(match[1])
                value = value.T if match[2] else value
                if match[3]:
                    value = power(value, float(Fraction(match[3])))
                if "scalar" in declared or "root" in declared:
                    number *= float(value[0, 0])
                else:
                    product = value if product is None else product @ value
        if product is None:
            if m != n and number:
                raise NoInstance
            return number * np.eye(m, n)
        return number * product

    def matrix(self, statement: dict[str, Any]) -> Array:
        table = statement["positive"] if "positive" in statement else statement["zero"]
        rows = statement["rows"]
        columns = statement.get("columns", rows)
        return np.block([[self.sum(e, r, c) for e, c in zip(line, columns)] for line, r in zip(table, rows)])

    def holds(self, statement: dict[str, Any]) -> bool:
        M = self.matrix(statement)
        size = max(1.0, np.abs(M).max())
        if "zero" in statement:
            return bool(np.abs(M).max() <= TOLERANCE * size)
        return is_semidefinite(M, size)

    def condition_holds(self, layer: dict[str, Any]) -> bool:
        """The sector inequality with the layer's maps, as a form in (x, z)."""
        n, m, k = layer["inputs"], layer["hidden"], layer["outputs"]
        H, G, U = (self.sum(layer[p], r, c) for p, r, c in (("H", k, n), ("G", k, m), ("U", m, n)))
        W, L = self.sum(layer["W"], m, m), self.sum(layer["multipliers"], m, m)
        rho, a, b = (float(self.sum(layer[p], 1, 1)[0, 0]) for p in ("squared_lipschitz", "low", "high"))
        v, z, y = np.hstack([U, W]), np.hstack([np.zeros_like(U), np.eye(len(W))]), np.hstack([H, G])
        x = np.hstack([np.eye(U.shape[1]), np.zeros(U.T.shape)])
        sector = (z - a * v).T @ L @ (b * v - z)
        M = rho * x.T @ x - y.T @ y - (sector + sector.T)
        diagonal = np.abs(L - np.diag(np.diag(L))).max() < 1e-12
        return bool(diagonal and np.all(np.diag(L) > -TOLERANCE) and is_semidefinite(M, max(1.0, np.abs(M).max())))


def power(value: Array, exponent: float) -> Array:
    if np.abs(value - np.diag(np.diag(value))).max() == 0:
        with np.errstate(all="ignore"):
            return np.diag(np.diag(value) ** exponent)
    if exponent == int(exponent):
        return np.linalg.matrix_power(value, int(exponent))
    raise NoInstance


def is_semidefinite(M: Array, size: float) -> bool:
    if not np.all(np.isfinite(M)):
        raise NoInstance
    return bool(np.abs(M - M.T).max() <= TOLERANCE * size and np.linalg.eigvalsh((M + M.T) / 2)[0] >= -TOLERANCE * size)


def is_false(theorem: dict[str, Any], seed: int, tries: int) -> bool:
    """Whether an instance satisfies the hypotheses and not what the theorem says."""
    rng = np.random.default_rng(seed)
    for _ in range(tries):
        try:
            values = Values(theorem, rng)
            if not all(values.holds(h) for h in theorem["hypotheses"]):
                continue
            shown = theorem.get("conclusion")
            if not (values.holds(shown) if shown is not None else values.condition_holds(theorem["layer"])):
                return True
        except (NoInstance, *UNFIT):
            continue
    return False
