"""Exported certificates compile to closed theorems about the very weights, and wrong ones do not compile."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import sdpcert
from sdpcert.certificate.coq import coq_file, integers_of
from sdpcert.check import read_content
from sdpcert.check.condition import StackedCondition
from sdpcert.network import Graph
from sdpcert.network.activations import absolute, leaky_relu, relu
from sdpcert.network.affine import Dense, Sum

SIZES = (3, 6, 5, 3)


def weights_of(sizes=SIZES):
    rng = np.random.default_rng(1)
    return [rng.standard_normal((rows, columns)) for columns, rows in pairwise(sizes)]


def with_skip():
    first, last = weights_of((4, 4, 2))
    graph = Graph((4,))
    hidden = graph.add(relu(), graph.add(Dense(first), 0))
    return graph.network(graph.add(Dense(last), graph.add(Sum(), 0, hidden)))


def chain(activation):
    return sdpcert.Network.mlp(weights_of(), activation=activation)


def document_of(network, tmp_path):
    file = tmp_path / "certificate.json"
    sdpcert.certify(network).save(file)
    return json.loads(file.read_text(encoding="utf-8"))


#: A network, and what its theorem says of the activation.
NETWORKS = [
    (chain(relu()), "(fun _ _ => relu R)"),
    (chain(leaky_relu(0.1)), "leaky_relu R (of_Z R (3602879701896397) / of_Z R t)"),
    (chain(leaky_relu(-0.5)), "leaky_relu R (of_Z R (-1) / of_Z R t)"),
    (chain(absolute()), "`|a|"),
    (chain(leaky_relu(2.0)), "(phi : nat -> nat -> R -> R)"),
    (with_skip(), "network R true N"),
]
IMPORT = re.compile(r"^(?:From|Import) .*$", re.MULTILINE)
#: Changes after which nothing is proved.
WRONG = {
    "smaller bound": lambda text: re.sub(r"P := (\d+)", lambda found: f"P := {int(found[1]) * 9 // 10}", text),
    "another weight": lambda text: re.sub(r"(weights_1 .*\n  \[:: )-?\d+", r"\g<1>123456789012345678901", text),
    "fewer inputs": lambda text: text.replace("Certificate 3 ", "Certificate 2 "),
    "negative multiplier": lambda text: re.sub(r"(multipliers_of_neurons .*\n  \[:: )", r"\g<1>-", text),
    "negative denominator": lambda text: re.sub(r"N := (\d+)", r"N := (-\1)", text),
    "no factor": lambda text: re.sub(r"(columns_of_factor [^\[]*)\[::[^%]*\]%Z", r"\1[::]%Z", text),
}


@pytest.mark.slow
def test_exported_certificates_are_closed_theorems_and_wrong_ones_are_none(tmp_path, compiled):
    modules = []
    for network, activation in NETWORKS:
        modules.append(coq_file(document_of(network, tmp_path)))
        assert activation in modules[-1]
    right = modules[0]
    for change in WRONG.values():
        definitions, _ = change(right).split("Lemma checked")
        assert definitions not in right
        modules.append(f"{definitions}Lemma wrong : valid proof = false.\nProof. by vm_compute. Qed.\n")
    imports = "\n".join(IMPORT.findall(right))
    named = (f"Module M{i}.\n{IMPORT.sub('', module)}\nEnd M{i}.\n" for i, module in enumerate(modules))
    result = compiled(imports + "\n" + "".join(named))
    assert result.returncode == 0, result.stderr
    assert result.stdout == "Closed under the global context\n" * len(NETWORKS)


def test_the_theorem_is_about_the_very_weights(tmp_path):
    content = read_content(document_of(chain(relu()), tmp_path))
    assert isinstance(content.tree, StackedCondition)
    integers = integers_of(content.tree.content, content.upper)
    for layer, weights in zip(integers.layers, weights_of(), strict=True):
        assert [[Fraction(x, integers.denominator) for x in row] for row in layer] == [
            [Fraction(x) for x in row] for row in weights.tolist()
        ]
    assert Fraction(integers.bound, integers.bound_denominator) == Fraction(content.upper) ** 2


def test_what_the_theorem_does_not_say_is_said(tmp_path):
    document = document_of(chain(relu()), tmp_path)
    assert "stored weights" not in coq_file(document)
    network = sdpcert.load(Path(__file__).parents[2] / "examples" / "networks" / "digits_mlp.onnx")
    assert re.search(
        r"about the stored weights[^*]* may\s+differ\s+by\s+9\.4\d+e-17", coq_file(document_of(network, tmp_path))
    )


def test_other_certificates_are_refused(tmp_path):
    network = sdpcert.Network.mlp(weights_of())
    box = sdpcert.Box(-np.ones(3), np.ones(3))
    file = tmp_path / "region.json"
    sdpcert.certify(network, region=box).save(file)
    with pytest.raises(ValueError, match="one matrix inequality for all inputs"):
        coq_file(json.loads(file.read_text(encoding="utf-8")))


def test_the_command_writes_the_file(tmp_path, capsys):
    from sdpcert.cli import main

    document_of(chain(relu()), tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["export", str(tmp_path / "certificate.json"), "--coq", str(tmp_path / "out.v")])
    assert ended.value.code == 0
    assert "coqc" in capsys.readouterr().out
    assert "Theorem lipschitz" in (tmp_path / "out.v").read_text(encoding="utf-8")
