"""Configurations: presets, overrides, and every kind of mistake in one line."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from sdpcert.training import load_config, preset_names
from sdpcert.training.config import toml_text

MODEL = {"architecture": "dense", "hidden": [8]}
WHOLE: dict[str, Any] = {"model": MODEL, "training": {"epochs": 1}}


def refused(table: Any, *texts: str) -> None:
    with pytest.raises(ValueError) as caught:
        load_config(table)
    message = str(caught.value)
    assert "\n" not in message
    for text in texts:
        assert text in message, message


@pytest.mark.parametrize("name", preset_names())
def test_presets_are_valid_and_come_back(name: str) -> None:
    config = load_config({"preset": name})
    text = toml_text(config.table())
    again = load_config(tomllib.loads(text))
    assert again == config and again.fingerprint() == config.fingerprint()


@pytest.mark.parametrize(
    ("change", "texts"),
    [
        ({"sed": 1}, ["unknown key 'sed'", "known: about, augment, data", "seed"]),
        ({"training": {"epoch": 1}}, ["unknown key 'training.epoch'", "epochs"]),
        ({"model": {**MODEL, "chanels": 3}}, ["unknown key 'model.chanels'", "hidden"]),
        ({"model": {"hidden": [3]}}, ["model.architecture must be one of 'dense'", "missing"]),
        ({"model": {"architecture": "cnn"}}, ["model.architecture must be one of 'dense'", "not 'cnn'"]),
        ({"model": {**MODEL, "family": "lol"}}, ["model.family must be 'sll', 'cpl'", "not 'lol'"]),
        ({"model": {**MODEL, "hidden": [0]}}, ["model.hidden.0 must be greater than 0", "not 0"]),
        ({"model": {**MODEL, "hidden": "8"}}, ["model.hidden must be"]),
        ({"model": {"architecture": "convolutional", "channels": [4]}}, ["one number per stage"]),
        ({"model": None}, ["model"]),
        (
            {"model": {"architecture": "convolutional", "halving": "selection", "outputs": [32, 512]}},
            ["halving by selection makes multiples of 4 up to 256 channels, not 512"],
        ),
        ({"seed": "0"}, ["seed must be a valid integer", "not '0'"]),
        ({"seed": -1}, ["seed must be greater than or equal to 0"]),
        ({"training": {"epochs": 1, "minutes": 2.0}}, ["exactly one of epochs and minutes"]),
        ({"training": {"batch": 4}}, ["exactly one of epochs and minutes"]),
        ({"training": {"epochs": 1, "precision": "int8"}}, ["'float32', 'bfloat16' or 'float16'"]),
        ({"optimiser": {"name": "lion"}}, ["optimiser.name must be one of 'sgd', 'adam', ", "'nadam', not 'lion'"]),
        ({"optimiser": {"name": "adam", "learning_rate": float("nan")}}, ["optimiser.learning_rate must be"]),
        ({"optimiser": {"name": "adam", "learning_rate": float("inf")}}, ["optimiser.learning_rate must be"]),
        ({"optimiser": {"name": "sgd", "momentum": 0.0, "nesterov": True}}, ["nesterov needs a momentum"]),
        ({"loss": {"name": "cross-entropy", "temperature": 0.0}}, ["loss.temperature must be greater than 0"]),
        ({"loss": {"name": "hkr", "offset": 1.0}}, ["unknown key 'loss.offset'", "alpha"]),
        ({"schedule": {"name": "steps", "milestones": [1.5]}}, ["schedule.milestones.0"]),
        ({"data": {"name": "imagenet"}}, ["data.name must be 'digits', 'mnist'"]),
        ({"preset": "sll-smal"}, ["unknown preset 'sll-smal'; did you mean 'sll-small'"]),
        ({"preset": 3}, ["unknown preset 3"]),
        ({"training": 5}, ["training"]),
        (
            {"model": {**MODEL, "head": "mlp"}, "loss": {"name": "hkr", "certificate": 1.0}},
            ["the configuration: loss.certificate needs a head"],
        ),
        ({"model": {**MODEL, "head": "mlp"}, "loss": {"name": "emma"}}, ["the loss 'emma' needs a head"]),
    ],
)
def test_mistakes_are_one_line(change: dict[str, Any], texts: list[str]) -> None:
    refused(WHOLE | change, *texts)


def test_missing_tables() -> None:
    refused({"model": MODEL}, "key 'training' is missing")
    refused({"training": {"epochs": 1}}, "key 'model' is missing")


def test_overrides() -> None:
    base = load_config({"preset": "digits"})
    config = load_config({"preset": "digits", "seed": 7, "optimiser": {"learning_rate": 0.5}})
    assert config.seed == 7 and config.optimiser.learning_rate == 0.5 and config.model == base.model
    timed = load_config({"preset": "digits", "training": {"minutes": 1.5}})
    assert timed.training.epochs is None and timed.training.minutes == 1.5
    assert timed.training.batch == base.training.batch
    other = load_config({"preset": "digits", "loss": {"name": "hkr"}})
    assert other.loss.name == "hkr"


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('preset = "digits"\n[data]\nname = "mnist"\nroot = "images"\n')
    config = load_config(path)
    assert config.data.root == str((tmp_path / "images").resolve())
    elsewhere = load_config({"preset": "digits", "data": {"name": "mnist", "root": "x"}})
    assert elsewhere.fingerprint() == config.fingerprint()  # folders do not count
    path.write_text('preset = "digits"\n[data]\nroot = "a\\u0000b"\n')
    refused(path, "data.root or data.cache is no name of a folder", "c.toml")
    path.write_text("seed = = 3")
    refused(path, "is no TOML file", "c.toml")
    path.write_bytes(b"\xff\xfe\x00")
    refused(path, "no text in UTF-8")
    path.write_bytes(b"#" * 1_000_001)
    refused(path, "larger than")
    path.write_text("a = " + "[" * 5000)
    refused(path, "is no TOML file")
    refused(tmp_path / "absent.toml", "cannot read")
    refused(tmp_path, "cannot read")


def test_toml_text() -> None:
    table = {"a": 1, "b": None, "c": {"d": [1.5, 2.0], "e": 'quo"te\\', "f": True, "g": 1e-8}}
    assert tomllib.loads(toml_text(table)) == {"a": 1, "c": {"d": [1.5, 2.0], "e": 'quo"te\\', "f": True, "g": 1e-8}}
