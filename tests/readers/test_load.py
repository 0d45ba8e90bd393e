"""What `load` says about paths and suffixes."""

import os

import numpy as np
import pytest
from onnx_models import refused

from sdpcert import certify
from sdpcert.network import Network
from sdpcert.readers import errors, load


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pkl", ".params", ".PT", ".ckpt"])
def test_pickles_are_refused_by_name(suffix, tmp_path):
    path = tmp_path / f"model{suffix}"
    refused(path, f"model{suffix}", "pickle", "ONNX or safetensors")
    path.write_bytes(b"cos\nsystem\n")
    refused(path, "pickle can run code")


@pytest.mark.parametrize("name", ["model.h5", "model", "model.tflite", "model.onnx.gz"])
def test_unknown_suffixes(name, tmp_path):
    (tmp_path / name).write_bytes(b"x")
    refused(tmp_path / name, name, "unknown suffix", ".onnx", ".npz", ".mat", ".safetensors")


@pytest.mark.parametrize("suffix", [".onnx", ".npz", ".mat", ".safetensors"])
def test_paths(suffix, tmp_path, monkeypatch):
    path = tmp_path / f"model{suffix}"
    refused(path, f"model{suffix}", "no such file")
    (tmp_path / "loop").symlink_to("loop")
    refused(tmp_path / f"loop/model{suffix}", "loop")
    path.mkdir()
    refused(path, "folder")
    path.rmdir()
    path.write_bytes(b"")
    refused(path, "empty")
    os.truncate(path, errors.MAX_FILE_BYTES + 1)  # a sparse file: no disk space is used
    refused(path, "limit of 2 GiB")
    path.unlink()
    os.mkfifo(path)
    refused(path, "regular file")
    refused(tmp_path / f"a\0b{suffix}", "null")


def test_case_and_text_paths(tmp_path):
    path = tmp_path / "NET.NPZ"
    with open(path, "wb") as file:
        np.savez(file, weight_0=np.eye(2))
    assert load(str(path)).input_shape == (2,)


def test_options_are_for_array_files(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"x")
    refused(path, "ONNX", "leave the options out", activation="relu")
    refused(path, "ONNX", "leave the options out", orientation="out_in")


@pytest.mark.parametrize("name", ["bound.json", "bound.cert", "bound.txt", "bound", "bound.npz", "bound.onnx"])
def test_a_certificate_says_what_reads_it(name, tmp_path):
    network = Network.mlp([np.eye(2), np.eye(2)], [None, None], "relu")
    certify(network, method="product").save(tmp_path / name)
    refused(tmp_path / name, name, "it is a certificate", "sdpcert.Certificate.load", "sdpcert.check")


def test_other_json_is_no_certificate(tmp_path):
    (tmp_path / "model.json").write_text('{"weights": []}')
    refused(tmp_path / "model.json", "a .json file holds no network", "sdpcert.Certificate.load")
    (tmp_path / "model.txt").write_text('{"weights": []}')
    refused(tmp_path / "model.txt", "unknown suffix")
    os.mkfifo(tmp_path / "pipe")  # is not opened: that would wait for a writer
    refused(tmp_path / "pipe", "unknown suffix")
