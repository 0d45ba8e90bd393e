"""Every reader on generated files, whole, truncated and hostile."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from sdpcert.training import datasets, load_data
from sdpcert.training.cifar_binary import read_records
from sdpcert.training.datasets import Description, moments
from sdpcert.training.idx import NAMES, read_idx

RANDOM = np.random.default_rng(0)


def idx_bytes(values: np.ndarray) -> bytes:
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


def write_mnist(folder: Path, packed: bool = False, counts: tuple[int, int] = (7, 3)) -> dict[str, np.ndarray]:
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for split, count in zip(("train", "test"), counts):
        images = RANDOM.integers(0, 256, (count, 5, 4), dtype=np.uint8)
        labels = RANDOM.integers(0, 10, count, dtype=np.uint8)
        for stem, values in zip(NAMES[split], (images, labels)):
            data = idx_bytes(values)
            (folder / (stem + ".gz" * packed)).write_bytes(gzip.compress(data) if packed else data)
        made |= {f"{split}_images": images, f"{split}_labels": labels}
    return made


def refused(text: str, *arguments: object, **more: object) -> str:
    with pytest.raises(ValueError) as caught:
        load_data(*arguments, **more)  # type: ignore[arg-type]
    message = str(caught.value)
    assert text in message and "\n" not in message
    return message


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("inner", ["", "MNIST/raw"])
def test_idx_layouts(tmp_path: Path, packed: bool, inner: str) -> None:
    made = write_mnist(tmp_path / inner, packed)
    data = load_data("mnist", tmp_path)
    np.testing.assert_array_equal(data.train.images[:, 0], made["train_images"])
    np.testing.assert_array_equal(data.test.labels, made["test_labels"])
    assert data.description.input_shape == (1, 5, 4) and data.description.levels == 255
    assert data.train.images.dtype == np.uint8
    assert load_data("mnist", tmp_path) is data  # read once
    assert Description.from_table(data.description.table()) == data.description


def test_fashion_mnist_has_its_own_folder(tmp_path: Path) -> None:
    write_mnist(tmp_path / "FashionMNIST" / "raw")
    assert load_data("fashion-mnist", tmp_path).description.training_images == 7
    refused("holds no files of mnist", "mnist", tmp_path)


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda d: d[:-1], "where its shape"),
        (lambda d: d + b"x", "where its shape"),
        (lambda d: d[:7], "broken header"),
        (lambda d: b"", "no IDX file"),
        (lambda d: b"\0\0\x0d" + d[3:], "element type 0x0d"),
        (lambda d: b"\0\0\x08\xff" + d[4:], "broken header"),
        (lambda d: b"\0\0\x08\x03" + b"\xff" * 12, "beyond"),
        (lambda d: pickle.dumps([1, 2]), "no IDX file"),
        (lambda d: gzip.compress(d)[:-10], "truncated or damaged gzip"),
        (lambda d: b"\x1f\x8b" + b"\0" * 50, "truncated or damaged gzip"),
    ],
)
def test_damaged_idx(tmp_path: Path, damage, text: str) -> None:
    write_mnist(tmp_path)
    path = tmp_path / NAMES["train"][0]
    path.write_bytes(damage(path.read_bytes()))
    message = refused(text, "mnist", tmp_path)
    assert str(path) in message and "download it again" in message


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(3_000_000)))
    monkeypatch.setattr("sdpcert.training.image_files.LARGEST", 1_000_000)
    from sdpcert.training import image_files as arrays

    with pytest.raises(ValueError, match="holds more than 1000000 bytes"):
        arrays.read_bounded(path, arrays.LARGEST)


def test_labels_that_do_not_fit(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    path = tmp_path / NAMES["test"][1]
    path.write_bytes(idx_bytes(np.array([1, 2, 200], np.uint8)))
    refused("label 200 is beyond the 10 classes", "mnist", tmp_path)
    path.write_bytes(idx_bytes(np.array([1, 2], np.uint8)))
    refused("3 images and 2 labels", "mnist", tmp_path)
    path.unlink()
    refused("is missing", "mnist", tmp_path)
    assert read_idx(tmp_path / NAMES["test"][0]).shape == (3, 5, 4)


def cifar_records(count: int, labels: int, classes: int) -> bytes:
    parts = [RANDOM.integers(0, classes, (count, labels)), RANDOM.integers(0, 256, (count, 3072))]
    return np.concatenate(parts, axis=1).astype(np.uint8).tobytes()


def write_cifar10(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]:
        (folder / name).write_bytes(cifar_records(2, 1, 10))


def test_cifar_binary(tmp_path: Path) -> None:
    write_cifar10(tmp_path / "cifar-10-batches-bin")
    data = load_data("cifar10", tmp_path)
    assert data.train.images.shape == (10, 3, 32, 32) and data.test.images.shape == (2, 3, 32, 32)
    raw = (tmp_path / "cifar-10-batches-bin" / "data_batch_2.bin").read_bytes()
    assert data.train.labels[2] == raw[0]
    np.testing.assert_array_equal(data.train.images[2, 1, 0, :3], list(raw[1 + 1024 : 1 + 1027]))
    assert load_data("cifar10", tmp_path / "cifar-10-batches-bin").description == data.description
    hundred = tmp_path / "cifar-100-binary"
    hundred.mkdir()
    (hundred / "train.bin").write_bytes(cifar_records(3, 2, 20))
    (hundred / "test.bin").write_bytes(cifar_records(1, 2, 20))
    assert load_data("cifar100", tmp_path).train.labels[0] == (hundred / "train.bin").read_bytes()[1]


@pytest.mark.parametrize("size", [0, 3072, 3074])
def test_damaged_cifar(tmp_path: Path, size: int) -> None:
    folder = tmp_path / "cifar-10-batches-bin"
    write_cifar10(folder)
    (folder / "data_batch_3.bin").write_bytes(bytes(size))
    message = refused("whole records of 3073", "cifar10", tmp_path)
    assert "data_batch_3.bin" in message
    (folder / "data_batch_3.bin").unlink()
    refused("data_batch_3.bin is missing", "cifar10", tmp_path)
    (folder / "data_batch_3.bin").write_bytes(b"\x0b" + bytes(3072))
    refused("label 11 is beyond", "cifar10", tmp_path)
    with pytest.raises(ValueError, match="cannot read"):
        read_records(folder / "none.bin", 1, 10)


class Exploding:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


@pytest.mark.parametrize(("name", "inner"), [("cifar10", "cifar-10-batches-py"), ("cifar100", "cifar-100-python")])
def test_pickles_are_refused_by_name(tmp_path: Path, name: str, inner: str) -> None:
    folder = tmp_path / inner
    folder.mkdir()
    for file in ("data_batch_1", "train", "test_batch", "test", "meta"):
        (folder / file).write_bytes(pickle.dumps(Exploding()))
    assert inner in refused("use the binary version", name, tmp_path)
    refused("use the binary version", name, folder)


def strip_pack(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    image = pytest.importorskip("PIL.Image")
    random = np.random.default_rng(seed)
    pictures = random.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    strips, ends = b"", []
    for start in range(0, count, 3):
        stream = io.BytesIO()
        part = pictures[start : start + 3]
        image.fromarray(part.reshape(-1, 4, 3)).save(stream, "WEBP", lossless=True, exact=True)
        strips += stream.getvalue()
        ends.append(len(strips))
    return {
        "strips": np.frombuffer(strips, np.uint8),
        "ends": np.array(ends),
        "shape": np.array(pictures.shape),
        "y": random.integers(0, 10, count, dtype=np.uint8),
        "pictures": pictures,
    }


def save_pack(path: Path, pack: dict[str, np.ndarray]) -> None:
    np.savez(path, **{k: v for k, v in pack.items() if k != "pictures"})  # type: ignore[arg-type]


def test_packs_come_one_by_one_and_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, cache = tmp_path / "packs", tmp_path / "cache"
    root.mkdir()
    packs = {name: strip_pack(5 + k, k) for k, name in enumerate(("train_a", "train_b", "test"))}
    save_pack(root / "cifar10_train_a.npz", packs["train_a"])
    refused("cifar10_train_b.npz, cifar10_test.npz of cifar10 is not there", "cifar10", root, cache)
    (root / "cifar10_train_a.npz").unlink()
    for name in ("train_b", "test"):
        save_pack(root / f"cifar10_{name}.npz", packs[name])
    data = load_data("cifar10", root, cache)
    wanted = np.concatenate([packs["train_a"]["pictures"], packs["train_b"]["pictures"]]).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(data.train.images, wanted)
    np.testing.assert_array_equal(data.test.labels, packs["test"]["y"])
    (cache / "cifar10_test.train.images.npy").write_bytes(b"\x93NUMPY broken")
    monkeypatch.setattr(datasets, "_LOADED", {})
    refused("delete it", "cifar10", root, cache)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"shape": np.array([5, 4, 4])}, "'shape'"),
        ({"shape": np.array([9, 4, 4, 3])}, "images where its shape states 9"),
        ({"shape": np.array([10**9, 1000, 1000, 3])}, "states the shape"),
        ({"shape": np.array([5, 4, 8, 3])}, "does not fit its shape"),
        ({"shape": np.array([4, 4, 4, 3])}, "does not fit its shape"),
        ({"ends": np.array([7])}, "offsets"),
        ({"ends": np.array([10**6, 5])}, "offsets"),
        ({"y": np.zeros(4, np.uint8)}, "5 images and 4 labels"),
        ({"y": np.zeros(5, np.float32)}, "no uint8 array 'y'"),
        ({"strips": np.zeros(30, np.uint8), "ends": np.array([30])}, "no whole WebP picture"),
        ({"strips": np.array([None])}, "Python objects"),
    ],
)
def test_damaged_packs(tmp_path: Path, changes: dict[str, np.ndarray], text: str) -> None:
    save_pack(tmp_path / "cifar10_train_a.npz", strip_pack(5) | changes)
    assert "cifar10_train_a.npz" in refused(text, "cifar10", tmp_path)


def test_truncated_packs(tmp_path: Path) -> None:
    path = tmp_path / "mnist.npz"
    arrays = {"x_train": np.zeros((4, 5, 5), np.uint8), "y_train": np.zeros(4, np.uint8)}
    np.savez_compressed(path, **arrays, x_test=arrays["x_train"], y_test=arrays["y_train"])
    assert load_data("mnist", tmp_path).description.input_shape == (1, 5, 5)
    path.write_bytes(path.read_bytes()[:-40])
    refused("truncated or no .npz file", "mnist", str(tmp_path) + "/../" + tmp_path.name, tmp_path / "other")
    np.savez(path, **arrays)
    refused("no uint8 array 'x_test'", "mnist", tmp_path, tmp_path / "third")


def test_digits_need_no_files() -> None:
    pytest.importorskip("sklearn")
    data = load_data("digits")
    assert data.train.images.shape == (1442, 1, 8, 8) and data.test.images.shape == (355, 1, 8, 8)
    assert data.train.images.max() == data.description.levels == 16
    again = load_data("digits")
    np.testing.assert_array_equal(again.test.labels[:5], data.test.labels[:5])
    assert len(np.bincount(data.test.labels)) == 10 and np.bincount(data.test.labels).min() >= 34


def test_names_and_folders(tmp_path: Path) -> None:
    refused("unknown data set 'imagenet'; known: digits", "imagenet")
    refused("set data.root", "mnist")
    refused("is no folder", "mnist", tmp_path / "absent")
    refused("holds no files of cifar10", "cifar10", tmp_path)


def test_moments() -> None:
    images = RANDOM.integers(0, 256, (50, 2, 3, 3), dtype=np.uint8)
    mean, std = moments(images, 255)
    np.testing.assert_allclose(mean, (images / 255).mean((0, 2, 3)), rtol=1e-13)
    np.testing.assert_allclose(std, (images / 255).std((0, 2, 3)), rtol=1e-12)


@pytest.mark.parametrize(
    "change", [{"classes": 1}, {"mean": [1.0, 2.0]}, {"input_shape": [1, 2]}, {"levels": "many"}, {"std": None}]
)
def test_damaged_descriptions(change: dict[str, object]) -> None:
    pytest.importorskip("sklearn")
    table = load_data("digits").description.table() | change
    with pytest.raises(ValueError, match="description of the data set is damaged"):
        Description.from_table(table)


def test_mnist_pack(shared_data: Path) -> None:
    data = load_data("mnist", shared_data)
    assert data.train.images.shape == (60000, 1, 28, 28)
    assert data.description.mean == pytest.approx((0.13066,), abs=1e-5)
    assert data.description.std == pytest.approx((0.30811,), abs=1e-5)
    assert np.bincount(data.train.labels)[:3].tolist() == [5923, 6742, 5958]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "mean"), [("cifar10", 0.4914), ("cifar100", 0.50707516)])
def test_cifar_packs(shared_data: Path, name: str, mean: float) -> None:
    data = load_data(name, shared_data)
    assert data.train.images.shape == (50000, 3, 32, 32) and data.test.images.shape == (10000, 3, 32, 32)
    assert data.description.mean[0] == pytest.approx(mean, abs=1e-4)
    assert (np.bincount(data.train.labels) == 50000 // data.description.classes).all()
