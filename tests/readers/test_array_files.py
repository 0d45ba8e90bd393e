"""`.npz`, `.mat` and `.safetensors` files of weights."""

import io
import struct
import zipfile
import zlib

import numpy as np
import pytest
from onnx_models import refused
from scipy.io import savemat

from sdpcert.network import Network
from sdpcert.readers import UnsupportedModel, load

save_file = pytest.importorskip("safetensors.numpy").save_file
R = np.random.default_rng(0)
WEIGHTS = [R.standard_normal(s) for s in ((4, 3), (4, 4), (2, 4))]
BIASES = [R.standard_normal(s) for s in (4, 4, 2)]


def cell(arrays):
    result = np.empty((1, len(arrays)), dtype=object)
    result[0] = arrays
    return result


def same(network, weights=WEIGHTS, biases=BIASES, activation="relu"):
    expected = Network.mlp(weights, biases, activation)
    x = R.standard_normal((7, 3))
    np.testing.assert_array_equal(network(x), expected(x))
    # And against the formula, written out.
    if activation == "relu":
        z = x
        for k, w in enumerate(weights):
            z = z @ w.T + (0 if biases is None else biases[k])
            z = np.maximum(z, 0) if k < len(weights) - 1 else z
        np.testing.assert_allclose(network(x), z, rtol=1e-12)


def numbered(weights=WEIGHTS, biases=BIASES):
    return {f"weight_{k}": w for k, w in enumerate(weights)} | {f"bias_{k}": b for k, b in enumerate(biases or [])}


def write(path, contents):
    if path.suffix == ".npz":
        np.savez(path, **contents)
    elif path.suffix == ".mat":
        savemat(path, contents, do_compression=True)
    else:
        texts = {k: v for k, v in contents.items() if isinstance(v, str)}
        arrays = {k: np.ascontiguousarray(v) for k, v in contents.items() if k not in texts}
        save_file(arrays, path, metadata=texts or None)
    return path


SUFFIXES = [".npz", ".mat", ".safetensors"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_numbered(suffix, tmp_path):
    path = tmp_path / f"net{suffix}"
    network = load(write(path, numbered()))
    same(network)
    assert network.source == str(path) and network.details["orientation"] == "out_in"
    same(load(write(path, numbered(biases=None))), biases=None)
    same(load(write(path, numbered()), activation="maxmin"), activation="maxmin")
    twelve = [np.eye(3) * (k + 1) for k in range(12)]
    same(load(write(path, numbered(twelve, None))), twelve, None)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_options_in_the_file(suffix, tmp_path):
    path = tmp_path / f"net{suffix}"
    turned = [w.T for w in WEIGHTS]
    contents = numbered(turned) | {"activation": "tanh", "orientation": "in_out"}
    same(load(write(path, contents)), activation="tanh")
    same(load(path, activation="tanh", orientation="in_out"), activation="tanh")
    refused(path, "'tanh'", "'relu'", activation="relu")
    refused(path, "'in_out'", "'out_in'", orientation="out_in")
    refused(write(path, contents | {"activation": "no\nsuch"}), "activation")
    refused(write(path, contents | {"orientation": "up"}), "orientation", "'up'")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_orientation_is_never_guessed(suffix, tmp_path):
    path = tmp_path / f"net{suffix}"
    write(path, numbered([w.T for w in WEIGHTS]))
    refused(path, "do not chain as out_in", "orientation='in_out'")
    same(load(path, orientation="in_out"))
    write(path, numbered())
    refused(path, "do not chain as in_out", "orientation='out_in'", orientation="in_out")
    refused(write(path, numbered([np.ones((4, 3)), np.ones((5, 6))], None)), "do not chain, neither")
    refused(write(path, numbered()), "'sideways'", orientation="sideways")
    # Square matrices chain either way, and the stated orientation rules.
    square = [R.standard_normal((3, 3)) for _ in range(2)]
    same(load(write(path, numbered(square, None))), square, None)
    same(load(path, orientation="in_out"), [w.T for w in square], None)


@pytest.mark.parametrize(("key", "companion"), [("weights", "biases"), ("W", "b"), ("Weights", "Biases")])
def test_cells(key, companion, tmp_path):
    path = tmp_path / "net.mat"
    same(load(write(path, {key: cell(WEIGHTS)})), biases=None)
    same(load(write(path, {key: cell(WEIGHTS), companion: cell([b[None] for b in BIASES])})))
    same(load(write(path, {key: cell(WEIGHTS), companion: cell([b[:, None] for b in BIASES]), "seed": 3.0})))
    refused(write(path, {key: cell(WEIGHTS), companion: cell(BIASES[:2])}), f"'{companion}'", "3")
    refused(write(path, {key: cell(WEIGHTS), companion: np.ones(3)}), f"'{companion}'")
    refused(write(path, {key: cell([*WEIGHTS[:2], np.ones((2, 5))])}), "do not chain")
    refused(write(path, {key: cell([*WEIGHTS[:2], "text"])}), key)


def test_state_dicts(tmp_path):
    path = tmp_path / "net.safetensors"
    for names in (("0", "2", "10"), ("fc1", "fc2", "fc10"), ("net.0", "net.2", "net.11")):
        state = {f"{n}.weight": w for n, w in zip(names, WEIGHTS)} | {f"{n}.bias": b for n, b in zip(names, BIASES)}
        same(load(write(path, dict(reversed(state.items())))))
    state = {"first.weight": WEIGHTS[0], "last.weight": np.ones((2, 4))}
    refused(write(path, state), "'first'", "order", kind=UnsupportedModel)
    base = {"0.weight": WEIGHTS[0], "2.weight": WEIGHTS[2]}
    same(load(write(path, base)), [WEIGHTS[0], WEIGHTS[2]], None)
    for extra, word in (
        ({"1.weight": np.ones(4), "1.bias": np.ones(4)}, "'1.weight'"),  # a normalisation
        ({"1.weight": np.ones((4, 4, 3, 3))}, "'1.weight'"),  # a convolution
        ({"1.running_mean": np.ones(4)}, "'1.running_mean'"),
        ({"1.num_batches_tracked": np.array(3)}, "'1.num_batches_tracked'"),
        ({"1.bias": np.ones(4)}, "'1.bias'"),
        ({"0.parametrizations.weight.original": np.ones((4, 3))}, "original"),
        ({"weight_0": np.ones((4, 3))}, "several forms"),
    ):
        refused(write(path, base | extra), word)


def test_exact_conversion(tmp_path):
    path = tmp_path / "net.npz"
    for dtype in (np.float32, np.float64, ">f8", np.int8, np.uint16, np.int64):
        weight = (R.standard_normal((2, 3)) * 50).astype(dtype)
        network = load(write(path, {"weight_0": weight}))
        np.testing.assert_array_equal(network(np.eye(3)), weight.astype(float).T)
    integers = (np.arange(6).reshape(2, 3) - 2).astype(float)  # MATLAB stores whole doubles as small integers
    np.testing.assert_array_equal(load(write(tmp_path / "net.mat", {"weight_0": integers}))(np.eye(3)), integers.T)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_refused_contents(suffix, tmp_path):
    path = tmp_path / f"net{suffix}"
    bad = np.ones((4, 3))
    bad[1, 1] = np.nan
    refused(write(path, {"weight_0": bad}), "'weight_0'", "not finite")
    bad[1, 1] = np.inf
    refused(write(path, {"weight_0": bad}), "'weight_0'", "not finite")
    refused(write(path, {"other": np.ones((4, 3))}), "no weights")
    refused(write(path, {"weight_0": WEIGHTS[0], "weight_2": WEIGHTS[1]}), "[0, 2]", "gaps")
    refused(write(path, {"weight_1": WEIGHTS[0]}), "[1]", "gaps")
    refused(write(path, {"weight_0": WEIGHTS[0], "bias_0": np.ones(3)}), "bias 0", "(")
    refused(write(path, {"weight_0": WEIGHTS[0], "bias_1": np.ones(4)}), "'bias_1'")
    refused(write(path, {"weight_0": WEIGHTS[0], "input_mean": np.ones(3)}), "'input_mean'", kind=UnsupportedModel)
    refused(write(path, {"weight_0": np.ones((2, 2, 2))}), "'weight_0'", "no matrix")
    refused(write(path, {"weight_0": np.ones((2, 0))}), "weight_0")
    refused(write(path, {"weight_0": WEIGHTS[0]}), "unknown activation", activation="softmax")
    if suffix != ".mat":
        refused(write(path, {"weight_0": np.ones((2, 2), np.float16)}), "weight_0", "float32")
        refused(write(path, {"weight_0": np.full((2, 2), 2**60)}), "weight_0", "exactly")
    if suffix != ".safetensors":
        refused(write(path, {"weight_0": np.ones((2, 2), complex)}), "weight_0")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_truncated_and_mutated(suffix, tmp_path):
    path = write(tmp_path / f"net{suffix}", numbered())
    whole = path.read_bytes()
    for length in range(1, len(whole), 17):
        path.write_bytes(whole[:length])
        if suffix == ".mat" and lists_whole_variables(whole, length):
            continue
        refused(path, f"net{suffix}")
    for garbage in (b"\0" * 500, b"hello\n" * 50, R.bytes(300)):
        path.write_bytes(garbage)
        refused(path, f"net{suffix}")
    for _ in range(300):
        changed = bytearray(whole)
        changed[int(R.integers(0, len(whole)))] = int(R.integers(0, 256))
        path.write_bytes(changed)
        message = ""
        try:
            load(path)
        except ValueError as error:
            message = str(error)
        assert "\n" not in message


def lists_whole_variables(data, length):
    """Whether a MATLAB file cut at this length ends between two variables, as no tag says how many there are."""
    position = 128
    while position < length:
        position += 8 + struct.unpack_from("<I", data, position + 4)[0]
    return position == length


def test_pickles_in_npz(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    path = tmp_path / "net.npz"
    np.savez(path, weight_0=np.array([[Evil()]], dtype=object))
    refused(path, "'weight_0'", "pickle")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weight_0.npy", b"cos\nsystem\n(S'true'\ntR.")
    refused(path, "'weight_0'", "damaged")
    assert not (tmp_path / "ran").exists()


def npy(shape, data=b"", dtype="<f8"):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue() + data


def test_bombs(tmp_path):
    path = tmp_path / "net.npz"
    for shape, word in (((2**30, 2**30), "limit"), ((10**4, 10**4), "bytes"), ((-1, 3), "negative")):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("weight_0.npy", npy(shape))
        refused(path, "'weight_0'", word)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("weight_0.npy", npy((1, 1), b"\0" * 8))
    raw = bytearray(path.read_bytes())
    entry = raw.rindex(b"PK\x01\x02")
    raw[entry + 24 : entry + 28] = struct.pack("<I", 0xFFFFFFF0)  # the size that the directory states
    path.write_bytes(raw)
    refused(path, "limit")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weight_0.npy", npy((1, 1), b"\0" * 8))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("weight_0.npy", npy((1, 1), b"\1" * 8))
    refused(path, "two arrays", "'weight_0'")


def test_matlab_kinds(tmp_path):
    path = tmp_path / "net.mat"
    refused(write(path, {"params": {"weight": np.ones((2, 2))}}), "'params'", "struct", kind=UnsupportedModel)
    from scipy.sparse import csc_matrix

    refused(write(path, {"weight_0": csc_matrix(np.eye(3))}), "'weight_0'", "sparse", kind=UnsupportedModel)
    nested = np.ones((2, 2))
    for _ in range(6):
        nested = cell([nested])
    refused(write(path, {"weights": nested}), "nested")
    savemat(path, {"weight_0": np.ones((2, 2))}, format="4")
    refused(path, "version 5")
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 600)
    refused(path, "7.3", "-v7")
    path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM" + b"\0" * 600)
    refused(path, "7.3", "-v7")


def matlab(*elements):
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + b"".join(elements)


def element(kind, data):
    return struct.pack("<II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def matrix(matlab_class, shape, *rest, name=b"weights"):
    head = element(6, struct.pack("<II", matlab_class, 0)) + element(5, struct.pack(f"<{len(shape)}i", *shape))
    return element(14, head + element(1, name) + b"".join(rest))


def test_matlab_bytes(tmp_path):
    path = tmp_path / "net.mat"
    number = matrix(6, (1, 1), element(9, struct.pack("<d", 2.0)), name=b"weight_0")
    path.write_bytes(matlab(number))
    assert load(path)(np.ones(1)) == 2.0
    deep = number
    for _ in range(2000):
        deep = matrix(1, (1, 1), deep)
    for data, word in (
        (matrix(16, (1, 1)), "function handle"),
        (matrix(17, (1, 1)), "object"),
        (matrix(3, (1, 1)), "object"),
        (matrix(99, (1, 1)), "class 99"),
        (deep, "nested"),
        (matrix(1, (2**30, 2**30)), "limit"),
        (matrix(1, (10**4, 10**4)), "cells"),
        (matrix(6, (10**4, 10**4), element(9, b"\0" * 16)), "entries"),
        (matrix(6, (-2, 3), element(9, b"\0" * 16)), "negative"),
        (matrix(1, (1, 2), number), "truncated"),
        (element(15, zlib.compress(number)[:-3]), "truncated"),
        (element(15, b"abc"), "damaged"),
        (element(77, b"abc"), "unknown type"),
    ):
        path.write_bytes(matlab(data))
        refused(path, word)


def test_inflating_stops_at_the_limit(tmp_path, monkeypatch):
    from sdpcert.readers.arrays import mat_scan

    monkeypatch.setattr(mat_scan, "MAX_FILE_BYTES", 2**20)
    path = tmp_path / "net.mat"
    path.write_bytes(matlab(element(15, zlib.compress(b"\0" * 2**22))))
    refused(path, "inflates")


def test_safetensors_headers(tmp_path):
    path = tmp_path / "net.safetensors"
    for header in (
        b"{",
        b'{"weight_0":{"dtype":"F32","shape":[1000000,1000000],"data_offsets":[0,4]}}',
        b'{"weight_0":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}',
        b'{"weight_0":{"dtype":"PICKLE","shape":[1],"data_offsets":[0,4]}}',
    ):
        path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 4)
        refused(path, "net.safetensors")
    path.write_bytes(struct.pack("<Q", 2**62) + b"{}")
    refused(path, "net.safetensors")
    header = b'{"weight_0":{"dtype":"BF16","shape":[1,2],"data_offsets":[0,4]}}'
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 4)
    refused(path, "'weight_0'", "BF16", "float32")


def test_files_of_other_tools(shared_networks):
    network = load(shared_networks / "lipsdp/random_weights.mat")
    assert network.input_shape == (2,) and network.neurons == 60
    # Nonnegative weights and no biases: at a positive point the Jacobian is the product of the weights.
    norm = np.linalg.norm(network.stacked.jacobian(np.ones(2)), 2)
    assert norm == pytest.approx(36.48222959637795, rel=1e-13)
    for k in range(20):
        name = shared_networks / f"exlipbab/absolute_value_relu_{k:02d}_weights.mat"
        assert load(name).input_shape == (1,)
    assert load(shared_networks / "exlipbab/iris_4x6x6x3_relu_weights.mat").output_shape == (3,)
    network = load(shared_networks / "maxmin/weights_l2_5fc_32.mat", activation="maxmin")
    assert network.input_shape == (784,) and network.neurons == 4 * 16
    refused(shared_networks / "glipsdp_digits/fnn2_seed0_weights.mat", "no weights")
    refused(shared_networks / "glipsdp_scalability/mlp_L3_W16.mat", "'params'", "struct")


def test_maxmin_accuracy(shared_networks, shared_data):
    network = load(shared_networks / "maxmin/weights_l2_2fc_16.mat", activation="maxmin")
    with np.load(shared_data / "mnist.npz") as pack:
        x = next(pack[k] for k in pack.files if pack[k].shape == (10000, 28, 28))[:1000]
        y = next(pack[k] for k in pack.files if pack[k].shape == (10000,))[:1000]
    accuracy = np.mean(network(x.reshape(len(x), -1) / 255.0).argmax(axis=1) == y)
    assert abs(accuracy - 0.9609) < 0.03


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_assumed_is_said_wherever_the_number_is(suffix, tmp_path):
    """A file of weights read as ReLU, because nobody says what it is, says so in notes, claim, file and binding."""
    import sdpcert
    from sdpcert.certify.binding import check_with_network

    path = write(tmp_path / f"net{suffix}", numbered())
    network = load(path)
    assert network.details["assumed"] == "activation relu"
    made = sdpcert.certify(network, "product")
    said = "as the model's file does not state it: activation relu"
    assert said in made.notes[-1] and made.document()["assumptions"] == ["activation relu"]
    assert "stated and not proved: 'activation relu'" in sdpcert.check(made).reason
    assert made.document()["information"]["source_details"]["assumed"] == "activation relu"
    made.save(tmp_path / "c.json")
    assert said in sdpcert.Certificate.load(tmp_path / "c.json").notes[-1]
    assert said in check_with_network(tmp_path / "c.json", network).reason
    for stated in (load(path, activation="relu"), load(write(path, numbered() | {"activation": "relu"}))):
        assert "assumed" not in stated.details and said not in str(sdpcert.certify(stated, "product").document())


def test_an_orientation_that_the_shapes_leave_open_is_assumed_too(tmp_path):
    rng = np.random.default_rng(0)
    for shapes, assumed in (
        (((3, 3), (3, 3)), "activation relu, orientation out_in"),
        (((4, 3), (3, 4)), "activation relu, orientation out_in"),
        (((4, 3), (2, 4)), "activation relu"),
        (((4, 3),), None),
    ):
        weights = {f"weight_{k}": rng.standard_normal(shape) for k, shape in enumerate(shapes)}
        np.savez(tmp_path / "net.npz", allow_pickle=False, **weights)
        assert load(tmp_path / "net.npz").details.get("assumed") == assumed
        told = load(tmp_path / "net.npz", activation="tanh", orientation="out_in")
        assert "assumed" not in told.details
