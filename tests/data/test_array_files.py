"""Arrays in files: what is read of them, and what is refused."""

import bz2
import gzip
import lzma
import struct
import zipfile

import numpy as np
import pytest
from image_files import RGB, everything, idx

from kgen.data import ImageDataset, load
from kgen.data.array_files import read_idx
from kgen.data.storage import Storage


def test_idx_files(tmp_path):
    labels = np.arange(10) % 2
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(RGB[..., 0]))
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(RGB[:2, ..., 1])))
    data = load(tmp_path)
    np.testing.assert_array_equal(everything(data), RGB[..., :1])
    np.testing.assert_array_equal(data.labels, labels)
    np.testing.assert_array_equal(everything(load(tmp_path, "test"))[..., 0], RGB[:2, ..., 1])
    assert load(tmp_path, "all").num_examples == 12
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"the same, zipped: not looked at")
    assert load(tmp_path).num_examples == 10
    alone = load(tmp_path / "train-images-idx3-ubyte", "test")
    np.testing.assert_array_equal(everything(alone)[..., 0], RGB[8:, ..., 0])


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz", ".GZ"])
def test_idx_files_are_unpacked_by_content(tmp_path, pack, suffix):
    for name, content in (("train-images-idx3", RGB[..., 0]), ("train-labels-idx1", np.arange(10))):
        (tmp_path / f"{name}-ubyte{suffix}").write_bytes(pack(idx(content)))
    for place in (tmp_path, tmp_path / f"train-images-idx3-ubyte{suffix}"):
        data = load(place)
        np.testing.assert_array_equal(everything(data)[..., 0], RGB[..., 0])
        np.testing.assert_array_equal(data.labels, np.arange(10))
    path = tmp_path / f"train-images-idx3-ubyte{suffix}"
    for content in (pack(gzip.compress(pack(idx(RGB[..., 0])))), b"PK\3\4" + bytes(80)):
        path.write_bytes(content)
        if content != gzip.compress(idx(RGB[..., 0])):
            with pytest.raises(
                ValueError, match=r"ubyte\S* is no IDX file.*Unpack it, if it is pa"
            ):
                load(tmp_path)


def test_idx_names_in_capitals(tmp_path):
    (tmp_path / "Train-Images.idx3-ubyte").write_bytes(idx(RGB[..., 0]))
    (tmp_path / "train-labels.IDX1-ubyte.gz").write_bytes(gzip.compress(idx(np.arange(10))))
    np.testing.assert_array_equal(load(tmp_path).labels, np.arange(10))


def test_several_sets_of_idx_files(tmp_path):
    for name in ("letters", "digits"):
        (tmp_path / f"emnist-{name}-train-images-idx3-ubyte").write_bytes(idx(RGB[..., 0]))
    with pytest.raises(ValueError, match=r"several sets: emnist-digits-.*, emnist-letters-"):
        load(tmp_path)


@pytest.mark.parametrize("broken", ["short", "long", "magic", "gzip", "deflate"])
def test_an_idx_file_of_the_wrong_length(tmp_path, broken):
    path, whole = tmp_path / "train-images-idx3-ubyte", idx(RGB[..., 0])
    contents = {
        "short": (whole[:-5], r"971 bytes.*\(10, 12, 8\).*976"),
        "long": (whole + b"\0", r"977 bytes.*\(10, 12, 8\).*976"),
        "magic": (b"PK" + whole, "no IDX file.*50 4b 00 00"),
        "gzip": (gzip.compress(whole)[:-20], "cannot be read"),
        "deflate": (gzip.compress(whole)[:10] + b"\xff" * 500, "cannot be read"),
    }
    content, message = contents[broken]
    path = path.with_suffix(".gz") if broken in ("gzip", "deflate") else path
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        load(tmp_path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "shape, words",
    [
        ((10, 0, 8), "no pixels.*side of 0"),
        ((0, 8, 8), "empty"),
        ((10, 8), r"\(10, 8\): images have three dimensions"),
        ((1,) * 200, "200 dimensions"),
        ((), "no IDX file.*00 00 08 00"),
    ],
)
def test_idx_files_of_other_shapes(tmp_path, shape, words):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(idx(np.zeros(shape)) if len(shape) < 60 else ones(len(shape)))
    for place, split in ((tmp_path, None), (path, "all")):
        with pytest.raises(ValueError, match=words) as error:
            load(place, split)
        assert str(place) in str(error.value)


def ones(dimensions):
    return b"\0\0\x08" + bytes([dimensions]) + struct.pack(">I", 1) * dimensions + b"\0"


def npy(header):
    header = header.encode() + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + bytes(640)


@pytest.mark.parametrize("memory", [None, 0])
@pytest.mark.parametrize(
    "changes, words",
    [
        ({"(10, 8, 8)": "(10, 0, 8)"}, "no pixels.*side of 0"),
        ({"(10, 8, 8)": "(0, 8, 8)"}, "empty"),
        ({"(10, 8, 8)": "(-10, 8, 8)"}, "cannot be read as an array"),
        ({"(10, 8, 8)": "(-10, -8, 8)"}, "cannot be read as an array"),
        ({"(10, 8, 8)": "(10, True, 8)"}, "cannot be read as an array"),
        ({"(10, 8, 8)": f"({10**30}, 8, 8)"}, "cannot be read as an array"),
        ({"(10, 8, 8)": "(11, 8, 8)"}, "cannot be read as an array"),
        ({"(10, 8, 8)": "(640,)"}, "must have shape"),
        ({"(10, 8, 8)": "(2, 3, 10, 10)"}, "channels first"),
        ({"(10, 8, 8)": "()"}, "single number"),
        ({"'|u1'": "'|O'"}, "cannot be read as an array"),
        ({"'|u1'": "'|b1'"}, "got dtype bool"),
        ({"'|u1'": "[('a', 'u1')]"}, "got dtype"),
        ({"'|u1'": "{1, 2}"}, "cannot be read as an array"),
        ({"{": "(" * 4000}, "cannot be read as an array"),
        ({"{": "'" * 3}, "cannot be read as an array"),
    ],
)
def test_odd_headers_of_npy_files(tmp_path, changes, words, memory):
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (10, 8, 8)}"
    path = tmp_path / "a.npy"
    path.write_bytes(npy(header))
    assert load(path, memory=memory).num_examples == 10
    for old, new in changes.items():
        header = header.replace(old, new)
    path.write_bytes(npy(header))
    with pytest.raises((ValueError, TypeError), match=words) as error:
        load(path, memory=memory)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "arrays, words",
    [
        ({"images": np.uint8(3)}, "'images' is a single number"),
        ({"images": RGB, "labels": np.int64(1)}, "'labels' is a single number"),
        ({"images": RGB, "labels": np.zeros(12, int)}, r"10 images and labels of shape \(12,\)"),
        ({"images": RGB[:, :0]}, "side of 0"),
        ({"images": RGB.astype(int)}, "got dtype int64"),
        ({"images": np.moveaxis(RGB, -1, 1)}, "channels first"),
        ({"images": np.full((4, 8, 8), np.nan)}, "NaN"),
        ({"x_train": RGB, "y_train": np.zeros(9, int)}, r"10 images and labels of shape \(9,\)"),
    ],
)
def test_odd_arrays_of_npz_files(tmp_path, arrays, words):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises((ValueError, TypeError), match=words) as error:
        load(tmp_path / "a.npz", "train")
    assert str(tmp_path / "a.npz") in str(error.value)


@pytest.mark.parametrize(
    "kind", ["U3", "S3", "M8[s]", "m8[s]", "O", "c16", [("red", "u1")], "V2", "i8", "u2", "i1"]
)
def test_advice_about_dtypes_can_be_followed(tmp_path, kind):
    levels = RGB[..., 0] if kind != "i1" else RGB[..., 0] // 2 - 100.0
    array = np.zeros(RGB.shape[:3], kind) if "V" in kind else levels.astype(kind)
    for name, write in (("a.npy", np.save), ("a.npz", np.savez)):
        write(tmp_path / name, array)
        with pytest.raises((TypeError, ValueError), match=f"{name}") as error:
            load(tmp_path / name)
        said = str(error.value)
        assert "pickle" not in said
        assert ("astype" in said) == (kind in ("i8", "u2"))
        assert ("pass it to kgen.data.ImageDataset" in said) == (kind in ("i8", "u2", "i1"))
    if kind == "i1":
        assert "Values of -100 to 27: scale them" in said
    with pytest.raises(TypeError, match="got dtype") as error:
        ImageDataset(array)
    assert ("astype" in str(error.value)) == (kind in ("i8", "u2"))


@pytest.mark.parametrize(
    "test, forms",
    [
        (RGB[:3, :6], r"train uint8 \(10, 12, 8, 3\), test uint8 \(3, 6, 8, 3\)"),
        (RGB[:3, ..., 0], r"test uint8 \(3, 12, 8, 1\)"),
        (RGB[:3] / 255.0 - 0.5, r"test float64 \(3, 12, 8, 3\)"),
        (RGB[:3].astype(int), r"test int64 \(3, 12, 8, 3\)"),
        (np.zeros((3, 2)), r"test float64 \(3, 2\)"),
    ],
)
def test_splits_that_cannot_be_put_together(tmp_path, test, forms):
    path = tmp_path / "a.npz"
    np.savez(path, x_train=RGB, x_test=test)
    message = rf"a\.npz: the images of its splits differ.*{forms}.*such as split='train'"
    with pytest.raises(ValueError, match=message):
        load(path, "all")
    assert load(path).num_examples == load(path, "train").num_examples == 10


def test_splits_that_are_alike_are_put_together(tmp_path, capsys):
    path, labels = tmp_path / "a.npz", np.arange(10)
    np.savez(path, x_train=RGB[..., 0], x_test=RGB[:3, ..., :1], y_train=labels, y_test=labels[:3])
    data = load(path, "all")
    assert data.num_examples == 13 and data.image_shape == (12, 8, 1)
    np.testing.assert_array_equal(data.labels, [*range(10), 0, 1, 2])
    assert not capsys.readouterr().out
    for wrong in (np.eye(3), np.array(["a", "b", "c"])):
        np.savez(path, x_train=RGB, x_test=RGB[:3], y_train=labels, y_test=wrong)
        with pytest.raises(
            ValueError, match=r"the labels of its splits differ.*train int64 \(10,\)"
        ):
            load(path, "all")
    np.savez(path, x_train=RGB, x_test=RGB[:3], y_train=labels)
    assert load(path, "all").labels is None
    assert "a.npz: without labels, since test has none\n" in capsys.readouterr().out
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(RGB[..., 0]))
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(RGB[:3, :6, :, 0]))
    with pytest.raises(ValueError, match=r"images of its splits differ.*test uint8 \(3, 6, 8, 1\)"):
        load(tmp_path, "all")


def test_one_image_is_no_set_of_narrow_ones(tmp_path):
    for image in (RGB[0], np.full((9, 8, 4), -1.0)):
        np.save(tmp_path / "a.npy", image)
        np.savez(tmp_path / "a.npz", image)
        for read in (
            lambda: load(tmp_path / "a.npy"),
            lambda: load(tmp_path / "a.npy", memory=0),
            lambda: load(tmp_path / "a.npz"),
            lambda image=image: ImageDataset(image),
        ):
            with pytest.raises(ValueError, match=r"looks like one image.*images\[None\]"):
                read()
        shape = image.shape[1:]
        assert ImageDataset(image, image_shape=shape).image_shape == (*shape, 1)
        assert ImageDataset(image[None]).image_shape == image.shape


def test_idx_labels_that_do_not_match(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(RGB[..., 0]))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(9)))
    with pytest.raises(ValueError, match=r"10 images.*\(9,\)"):
        load(tmp_path)
    np.testing.assert_array_equal(read_idx(tmp_path / "train-labels-idx1-ubyte"), np.zeros(9))


def test_npz_and_npy(tmp_path):
    labels = np.arange(10)[:, None]
    arrays = dict(x_train=RGB, y_train=labels, x_test=RGB[:3], y_test=labels[:3])
    np.savez(tmp_path / "keras.npz", **arrays)
    data = load(tmp_path / "keras.npz")
    np.testing.assert_array_equal(everything(data), RGB)
    np.testing.assert_array_equal(data.labels, labels[:, 0])
    assert load(str(tmp_path / "keras.npz"), "test", num_examples=2).num_examples == 2
    np.savez_compressed(tmp_path / "plain.npz", images=RGB, labels=labels[:, 0] // 5)
    np.testing.assert_array_equal(load(tmp_path / "plain.npz", "test").labels, [0, 1])
    ages = np.linspace(0, 1, len(RGB))  # numbers, each one's own: no classes
    np.savez(tmp_path / "ages.npz", images=RGB, labels=ages)
    np.testing.assert_array_equal(load(tmp_path / "ages.npz", "test").labels, ages[4::5])
    np.save(tmp_path / "grey.npy", RGB[..., 0])
    np.testing.assert_array_equal(everything(load(tmp_path / "grey.npy")), RGB[..., :1])
    assert load(tmp_path / "grey.npy", "train", memory=100).num_examples == 8
    np.savez(tmp_path / "odd.npz", a=RGB, b=labels)
    with pytest.raises(ValueError, match=r"\['a', 'b'\]; expected images"):
        load(tmp_path / "odd.npz")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "keras.npz").read_bytes()[:200])
    (tmp_path / "cut.npy").write_bytes((tmp_path / "grey.npy").read_bytes()[:100])
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("images.npy", b"no array")
    with pytest.raises(ValueError, match=r"other\.npz cannot be read as arrays: 'images' is no ar"):
        load(tmp_path / "other.npz")
    np.save(tmp_path / "number.npy", np.float32(1))
    (tmp_path / "array.npz").write_bytes((tmp_path / "grey.npy").read_bytes())
    (tmp_path / "text.npz").write_text("hello")
    for name in ("cut.npz", "array.npz", "text.npz"):
        with pytest.raises(ValueError, match=f"{name} cannot be read as arrays: it is no .npz"):
            load(tmp_path / name)
    for name in ("cut.npy", "number.npy"):
        with pytest.raises(ValueError, match=f"{name} cannot be read"):
            load(tmp_path / name)


@pytest.mark.parametrize("memory", [None, 0])
def test_arrays_are_cropped_to_another_aspect(tmp_path, memory):
    images = np.zeros((2, 20, 40, 3), "uint8")
    images[:, :, 10:30] = 200  # the centred square
    np.save(tmp_path / "a.npy", images)
    np.savez(tmp_path / "a.npz", images)
    for name in ("a.npy", "a.npz"):
        data = load(tmp_path / name, image_size=10, memory=memory)
        assert data.image_shape == (10, 10, 3) and (everything(data) == 200).all()
    whole = load(tmp_path / "a.npy", memory=memory).at_resolution(10)  # which distorts
    assert everything(whole).min() < 10


def test_channels_of_a_streamed_array(tmp_path):
    np.save(tmp_path / "a.npy", RGB)
    kept, streamed = (load(tmp_path / "a.npy", channels=1, memory=m) for m in (None, 0))
    assert isinstance(streamed._images, Storage) and streamed.image_shape == (12, 8, 1)
    np.testing.assert_array_equal(everything(kept), everything(streamed))
    np.save(tmp_path / "grey.npy", RGB[..., 0])
    assert load(tmp_path / "grey.npy", channels=3, memory=0).image_shape == (12, 8, 3)
    with pytest.raises(ValueError, match="cannot be converted to channels=4"):
        load(tmp_path / "a.npy", channels=4, memory=0)
