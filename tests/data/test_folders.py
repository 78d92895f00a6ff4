"""Folders and files of one's own: what is found in them, and what is refused."""

import bz2
import gzip
import lzma
import os
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image

from kgen.data import ImageDataset, ImagePairs, load
from kgen.data.array_files import read_idx
from kgen.data.memory import KeptImages
from kgen.data.storage import Files, PairFiles, Storage

RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (10, 12, 8, 3), "uint8")


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image.squeeze()).save(path)


def write_flat(folder, images=RGB):
    for i, image in enumerate(images):
        write(folder / f"{i:02}.png", image)
    return folder


def write_classes(folder):
    for i, image in enumerate(RGB):
        write(folder / ("cat", "dog")[i % 2] / f"{i:02}.png", image)
    return folder


def everything(data):
    return data.fetch(np.arange(data.num_examples))


def test_a_flat_folder(tmp_path):
    data = load(write_flat(tmp_path))
    np.testing.assert_array_equal(everything(data), RGB)
    assert data.labels is None and data.image_shape == (12, 8, 3) and data.shuffle
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_bytes(b"")
    write(tmp_path / "folder.png" / "inside.png", RGB[0])
    assert load(str(tmp_path), kind="flat").num_examples == 10
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(ValueError, match=r"gone\.png cannot be read: it is a link to nothing"):
        load(tmp_path, kind="flat")


def test_a_folder_by_class(tmp_path):
    data = load(write_classes(tmp_path))
    assert data.class_names == ["cat", "dog"] and data.num_classes == 2
    np.testing.assert_array_equal(data.labels, [0, 1] * 5)  # the classes take turns
    np.testing.assert_array_equal(everything(data), RGB)
    write(tmp_path / "cat" / "11.png", RGB[0])
    np.testing.assert_array_equal(load(tmp_path, num_examples=6).labels, [0, 1, 0, 1, 0, 1])


def test_every_fifth_image_of_a_class_is_for_testing(tmp_path):
    write_classes(tmp_path)
    train, test = load(tmp_path, "train"), load(tmp_path, "test")
    assert (train.num_examples, test.num_examples) == (8, 2) and not test.shuffle
    np.testing.assert_array_equal(test.labels, [0, 1])
    np.testing.assert_array_equal(everything(test), RGB[[8, 9]])
    np.testing.assert_array_equal(train.labels, [0, 1] * 4)
    with pytest.raises(ValueError, match=r"no splits of its own.*'validation'"):
        load(tmp_path, "validation")


def test_folders_named_by_splits(tmp_path):
    write_classes(tmp_path / "train")
    write_flat(tmp_path / "test" / "dog", RGB[:3])
    write_flat(tmp_path / "test" / "cat", RGB[3:4])
    assert load(tmp_path).num_examples == load(tmp_path, "train").num_examples == 10
    np.testing.assert_array_equal(load(tmp_path, "test").labels, [1, 0, 1, 1])
    np.testing.assert_array_equal(np.bincount(load(tmp_path, "all").labels), [6, 8])
    with pytest.raises(ValueError, match=r"splits \['train', 'test'\]; got 'val'"):
        load(tmp_path, "val")


def test_kinds_below_folders_named_by_splits(tmp_path):
    for split in ("train", "test"):
        for i, domain in enumerate(("photo", "sketch")):
            write_flat(tmp_path / "domains" / split / domain, RGB[i : i + 2])
        (tmp_path / "idx" / split).mkdir(parents=True)
        (tmp_path / "idx" / split / f"{split}-images-idx3-ubyte").write_bytes(idx(RGB[..., 0]))
    for split in (None, "test"):
        data = load(tmp_path / "domains", split, kind="domains")
        assert data.domain_names == ("photo", "sketch")
        np.testing.assert_array_equal(data.domains[1], RGB[1:3])
        assert load(tmp_path / "idx", split, kind="idx").num_examples == 10
    with pytest.raises(ValueError, match=r"holds no IDX files: expected train-images-idx3-ubyte"):
        load(tmp_path / "domains" / "train", kind="idx")
    write_classes(tmp_path / "twice" / "train" / "train")
    assert load(tmp_path / "twice").class_names == ["cat", "dog"]
    write_classes(tmp_path / "twice" / "train" / "test")
    with pytest.raises(ValueError, match=r"has the splits \['train', 'test'\] again"):
        load(tmp_path / "twice")


def test_a_class_named_as_a_split_is(tmp_path):
    for i, name in enumerate(("bus", "car", "train")):
        write_flat(tmp_path / name, RGB[i : i + 1])
    for split in (None, "train"):
        with pytest.raises(ValueError, match=r'\(train\) and others.*\(bus, car\).*kind="classes"'):
            load(tmp_path, split)
    data = load(tmp_path, kind="classes")
    assert data.class_names == ["bus", "car", "train"] and data.num_examples == 3
    (tmp_path / "splits" / "notes").mkdir(parents=True)  # without images
    write_classes(tmp_path / "splits" / "train")
    for kind in (None, "classes"):
        assert load(tmp_path / "splits", kind=kind).class_names == ["cat", "dog"]


def test_hidden_folders_are_left_out(tmp_path):
    write(write_classes(tmp_path) / "cat" / ".ipynb_checkpoints" / "00-checkpoint.png", RGB[0])
    assert load(tmp_path).num_examples == 10


def test_photos_stand_upright(tmp_path):
    expected = np.kron(RGB[0, :4, :2], np.ones((8, 8, 1), "uint8"))  # blocks, for JPEG
    for orientation, stored in {
        2: expected[:, ::-1],
        3: expected[::-1, ::-1],
        6: np.rot90(expected),
        8: np.rot90(expected, -1),
    }.items():
        for suffix in (".jpg", ".png", ".tif"):
            image = Image.fromarray(np.ascontiguousarray(stored))
            exif = image.getexif()
            exif[0x112] = orientation
            image.save(tmp_path / f"{orientation}{suffix}", exif=exif, quality=100, subsampling=0)
    data = load(tmp_path)
    assert data.image_shape == (32, 16, 3) and data.num_examples == 12
    assert np.abs(everything(data).astype(int) - expected).max() < 12


def test_depths_of_grey_images(tmp_path):
    """16 bits are scaled, whatever Pillow calls them; of 32 bits nobody knows the range."""
    deep = RGB[0, ..., 0].astype("uint16") * 257
    (tmp_path / "16").mkdir()
    for name in ("a.png", "b.pgm", "c.tif"):
        Image.fromarray(deep).save(tmp_path / "16" / name)
    for image in everything(load(tmp_path / "16")):
        np.testing.assert_array_equal(image, RGB[0, ..., :1])
    for dtype in ("float32", "int32"):
        (tmp_path / dtype).mkdir()
        Image.fromarray(RGB[0, ..., 0].astype(dtype)).save(tmp_path / dtype / "deep.tif")
        with pytest.raises(ValueError, match=r"deep\.tif cannot be read.*32 bits"):
            load(tmp_path / dtype)


def test_formats_and_modes(tmp_path):
    write(tmp_path / "grey" / "a.png", RGB[0, ..., :1])
    Image.fromarray(RGB[0, ..., 0]).convert("1").save(tmp_path / "grey" / "b.png")
    Image.fromarray(RGB[0, ..., 0].astype("uint16") * 257).save(tmp_path / "grey" / "c.png")
    grey = everything(load(tmp_path / "grey"))
    np.testing.assert_array_equal(grey[0], RGB[0, ..., :1])
    np.testing.assert_array_equal(grey[2], RGB[0, ..., :1])  # 16 bits
    assert set(np.unique(grey[1])) <= {0, 255}

    colour = Image.fromarray(RGB[0])
    for i, name in enumerate(("a.jpg", "b.webp", "c.bmp", "d.tiff")):
        (tmp_path / "colour").mkdir(exist_ok=True)
        colour.save(tmp_path / "colour" / name, quality=95)
        assert np.abs(everything(load(tmp_path / "colour"))[i].astype(int) - RGB[0]).mean() < 60
    colour.quantize(200).save(tmp_path / "colour" / "e.png")
    data = load(tmp_path / "colour", channels=1)
    assert data.image_shape == (12, 8, 1) and data.num_examples == 5

    transparent = np.dstack([RGB[0], RGB[1, ..., 0]])
    write(tmp_path / "rgba" / "a.png", transparent)
    np.testing.assert_array_equal(everything(load(tmp_path / "rgba"))[0], transparent)


def test_image_size_crops_and_resizes(tmp_path):
    write(tmp_path / "a.png", np.full((20, 40, 3), 10, "uint8"))
    write(tmp_path / "b.png", np.full((9, 9, 3), 20, "uint8"))
    sides = np.zeros((20, 40, 3), "uint8")
    sides[:, 10:30] = 200  # the centred square
    write(tmp_path / "c.png", sides)
    data = load(tmp_path, image_size=5)
    assert data.image_shape == (5, 5, 3)
    assert [int(image.min()) for image in everything(data)] == [10, 20, 200]


def test_side_by_side_pairs(tmp_path):
    wide = np.concatenate([RGB, 255 - RGB], axis=2)
    write_flat(tmp_path / "train", wide)
    write_flat(tmp_path / "val", wide[:2])
    data = load(tmp_path, kind="pairs", batch_size=4)
    assert isinstance(data, ImagePairs) and data.aligned and data.num_examples == 10
    assert data.image_shape == data.target_shape == (12, 8, 3)
    for a, b in data:
        np.testing.assert_array_equal(b, 255 - a)
    assert load(tmp_path, "val", kind="pairs", image_size=6).pairs()[1].shape == (2, 6, 6, 3)
    streamed = load(tmp_path, kind="pairs", batch_size=4, memory=0)
    for kept, read in zip(data, streamed, strict=True):
        np.testing.assert_array_equal(kept, read)


@pytest.mark.parametrize("memory", [None, 0])
def test_each_half_of_a_pair_is_cropped_and_resized_by_itself(tmp_path, memory):
    half = np.broadcast_to(np.arange(48, dtype="uint8")[:, None] * 5, (32, 48, 3))
    write(tmp_path / "same" / "a.png", np.concatenate([half, half], axis=1))
    write(tmp_path / "apart" / "a.png", np.concatenate([half * 0, half * 0 + 255], axis=1))
    options = {"kind": "pairs", "image_size": 16, "memory": memory}
    ((a, b),) = load(tmp_path / "same", **options)
    np.testing.assert_array_equal(a, b)
    write(tmp_path / "half" / "a.png", half)
    np.testing.assert_array_equal(a, everything(load(tmp_path / "half", image_size=16)))
    ((a, b),) = load(tmp_path / "apart", **options)
    assert (a == 0).all() and (b == 255).all()
    paths = [str(tmp_path / "same" / "a.png")]
    assert PairFiles(paths, (16, 32, 3)).identity != Files(paths, (16, 32, 3)).identity


def test_two_domains_share_the_memory(tmp_path):
    for name, n in {"trainA": 6, "trainB": 2}.items():
        write_flat(tmp_path / name, RGB[:n])
    size = RGB[0].nbytes
    for memory, kept in ((8 * size, np.ndarray), (4 * size, KeptImages)):
        domains = load(tmp_path, memory=memory).domains
        assert all(isinstance(images, kept) for images in domains)
    assert [len(images._rows) for images in domains] == [3, 1]


def test_two_domains(tmp_path):
    for name, n in {"trainA": 5, "trainB": 3, "testA": 2, "testB": 1}.items():
        write_flat(tmp_path / "apple2orange" / name, RGB[:n])
    data = load(tmp_path / "apple2orange")
    assert not data.aligned and data.num_examples == 5
    assert data.domain_names == ("trainA", "trainB") and data.domain(1).num_examples == 3
    assert load(tmp_path / "apple2orange", "test").num_examples == 2
    for name in ("summer", "winter"):
        write_flat(tmp_path / "seasons" / name, RGB[:5])
    data = load(tmp_path / "seasons", "train", kind="domains")
    assert data.domain_names == ("summer", "winter") and data.num_examples == 4


def idx(array):
    return (
        b"\0\0\x08"
        + bytes([array.ndim])
        + struct.pack(f">{array.ndim}I", *array.shape)
        + (array.astype("uint8").tobytes())
    )


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


def pipe(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)


@pytest.mark.parametrize("make", [pipe, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_regular_file_is_never_opened(tmp_path, make, capsys):
    """A pipe would be waited for, a device might be read for good."""
    write_flat(tmp_path / "flat")
    make(tmp_path / "flat" / "x.png")
    with pytest.raises(ValueError, match=r"x\.png cannot be read: it is a (pipe|device), not"):
        load(tmp_path / "flat")
    assert load(tmp_path / "flat", skip_broken=True).num_examples == 10
    assert "Left out 1 images that cannot be read" in capsys.readouterr().out
    for name in ("a.npy", "a.npz", "a.png", "t10k-images-idx3-ubyte", "train-images-idx3-ubyte.gz"):
        make(tmp_path / name)
        with pytest.raises(ValueError, match=f"{name} cannot be read: it is a (pipe|device)"):
            load(tmp_path / name)
    (tmp_path / "lmdb").mkdir()
    make(tmp_path / "lmdb" / "data.mdb")
    with pytest.raises(ValueError, match=r"lmdb cannot be read as an LMDB: it is a (pipe|device)"):
        load(tmp_path / "lmdb", image_size=8)
    labels = tmp_path / "idx" / "train-labels-idx1-ubyte"
    labels.parent.mkdir()
    labels.with_name("train-images-idx3-ubyte").write_bytes(idx(RGB[..., 0]))
    make(labels)
    with pytest.raises(ValueError, match=r"labels-idx1\S+ cannot be read: it is a (pipe|device)"):
        load(tmp_path / "idx")


def test_a_pipe_in_the_place_of_a_file_that_was_loaded(tmp_path):
    data = load(write_flat(tmp_path), memory=0, batch_size=2)
    (tmp_path / "07.png").unlink()
    pipe(tmp_path / "07.png")
    with pytest.raises(ValueError, match=r"07\.png cannot be read: it is a pipe"):
        list(data)
    with pytest.raises(OSError, match="it is a pipe"):
        data.fingerprint  # noqa: B018


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
def test_a_broken_image_is_named_and_left_out_only_when_asked(tmp_path, memory, capsys):
    whole = (write_classes(tmp_path) / "dog" / "03.png").read_bytes()
    (tmp_path / "dog" / "03.png").write_bytes(b"no image at all")
    with pytest.raises(ValueError, match=r"dog/03\.png cannot be read.*skip_broken=True"):
        load(tmp_path, memory=memory)
    data = load(tmp_path, memory=memory, skip_broken=True)
    np.testing.assert_array_equal(data.labels, [0, 1, 0, 0, 1, 0, 1, 0, 1])
    np.testing.assert_array_equal(everything(data), np.delete(RGB, 3, axis=0))
    assert "Left out 1" in capsys.readouterr().out
    (tmp_path / "dog" / "03.png").write_bytes(whole[:-60])  # cut off after its header
    with pytest.raises(ValueError, match=r"dog/03\.png cannot be read"):
        everything(load(tmp_path, memory=memory))
    assert load(tmp_path, memory=memory, skip_broken=True).num_examples == 9


def test_broken_pairs_and_classes(tmp_path, capsys):
    write(tmp_path / "pairs" / "a.png", np.concatenate([RGB[0], RGB[1]], axis=1))
    (tmp_path / "pairs" / "b.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"b\.png cannot be read: its content is no image\."):
        load(tmp_path / "pairs", kind="pairs")
    assert load(tmp_path / "pairs", kind="pairs", skip_broken=True).num_examples == 1
    assert "b.png" in capsys.readouterr().out
    write(tmp_path / "classes" / "cat" / "a.png", RGB[0])
    (tmp_path / "classes" / "dog").mkdir()
    (tmp_path / "classes" / "dog" / "b.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"class 'dog' is empty: none of the images of .*dog can"):
        load(tmp_path / "classes", skip_broken=True)


def test_names_that_are_not_utf8(tmp_path, capsys):
    write_flat(tmp_path / os.fsdecode(b"gr\xfcn"), RGB[:2])
    assert load(tmp_path / os.fsdecode(b"gr\xfcn")).num_examples == 2
    assert load(tmp_path).num_examples == 2
    assert capsys.readouterr().out.encode().count("gr\ufffdn".encode()) == 2
    write_flat(tmp_path, RGB[:2])
    folder = os.fsencode(tmp_path)
    os.rename(folder + b"/00.png", folder + b"/\xe9t\xe9.png")
    with open(folder + b"/\xfc.png", "wb"):
        pass
    assert load(tmp_path, kind="flat", skip_broken=True).num_examples == 2
    assert "\ufffd.png" in capsys.readouterr().out


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


def test_folders_that_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no file or folder"):
        load(tmp_path / "nothing")
    with pytest.raises(ValueError, match="no file or folder nothing"):
        load("nothing/")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no images"):
        load(tmp_path / "empty")
    write_classes(tmp_path / "classes")
    (tmp_path / "classes" / "emu").mkdir()
    with pytest.raises(ValueError, match="class 'emu' is empty"):
        load(tmp_path / "classes")
    write(tmp_path / "both" / "cat" / "a.png", RGB[0])
    write(tmp_path / "both" / "b.png", RGB[1])
    with pytest.raises(ValueError, match=r'kind="classes".*kind="flat"'):
        load(tmp_path / "both")
    assert load(tmp_path / "both", kind="flat").num_examples == 1
    with pytest.raises(ValueError, match=r"kind must be one of.*'squares'"):
        load(tmp_path / "both", kind="squares")
    with pytest.raises(ValueError, match="one image; a dataset is a folder"):
        load(tmp_path / "both" / "b.png")
    write(tmp_path / "odd" / "wide.png", np.zeros((4, 9, 3), "uint8"))
    with pytest.raises(ValueError, match=r"wide\.png is 9 pixels wide.*even"):
        load(tmp_path / "odd", kind="pairs")
    with pytest.raises(ValueError, match=r"Two domains.*\['cat'\]"):
        load(tmp_path / "both", kind="domains")


def test_mixed_sizes_and_channels(tmp_path):
    write(tmp_path / "sizes" / "a.png", RGB[0])
    write(tmp_path / "sizes" / "b.png", RGB[1, :6])
    with pytest.raises(ValueError, match=r"a\.png has 12x8.*b\.png 6x8.*image_size="):
        load(tmp_path / "sizes")
    write(tmp_path / "channels" / "a.png", RGB[0])
    write(tmp_path / "channels" / "b.png", RGB[1, ..., :1])
    with pytest.raises(ValueError, match=r"a\.png has 3.*b\.png 1.*channels="):
        load(tmp_path / "channels")
    assert load(tmp_path / "channels", channels=3).image_shape == (12, 8, 3)
    with pytest.raises(ValueError, match="channels must be 1, 3 or 4; got 2"):
        load(tmp_path / "channels", channels=2)
