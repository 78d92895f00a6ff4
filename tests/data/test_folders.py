"""Folders and files of one's own: what is found in them, and what is refused."""

import os

import numpy as np
import pytest
from image_files import RGB, everything, idx, write, write_classes, write_flat
from PIL import Image

from kgen.data import ImagePairs, load, splits
from kgen.data.memory import KeptImages
from kgen.data.storage import ImageFiles, PairFiles


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


def test_depths_of_gray_images(tmp_path):
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
    gray = everything(load(tmp_path / "grey"))
    np.testing.assert_array_equal(gray[0], RGB[0, ..., :1])
    np.testing.assert_array_equal(gray[2], RGB[0, ..., :1])  # 16 bits
    assert set(np.unique(gray[1])) <= {0, 255}

    color = Image.fromarray(RGB[0])
    for i, name in enumerate(("a.jpg", "b.webp", "c.bmp", "d.tiff")):
        (tmp_path / "colour").mkdir(exist_ok=True)
        color.save(tmp_path / "colour" / name, quality=95)
        assert np.abs(everything(load(tmp_path / "colour"))[i].astype(int) - RGB[0]).mean() < 60
    color.quantize(200).save(tmp_path / "colour" / "e.png")
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


@pytest.mark.parametrize("n", [None, 4, 10])
def test_both_halves_of_a_pair_are_read_at_once(tmp_path, monkeypatch, n):
    write_flat(tmp_path, np.concatenate([RGB, 255 - RGB], axis=2))
    read, decode = [], PairFiles.decode
    monkeypatch.setattr(PairFiles, "decode", lambda self, i: read.append(i) or decode(self, i))
    list(load(tmp_path, kind="pairs", num_examples=n, memory=0, shuffle=False))
    assert sorted(read)[-(n or 10) :] == list(range(n or 10)) and len(read) <= (n or 10) + 2


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
    assert PairFiles(paths, (16, 32, 3)).identity != ImageFiles(paths, (16, 32, 3)).identity


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


def test_two_domains_may_differ_in_number_size_and_channels(tmp_path):
    write_flat(tmp_path / "trainA", RGB[:5, ..., :1])
    write_flat(tmp_path / "trainB", RGB[:3, :8])
    data = load(tmp_path, batch_size=5)
    assert data.image_shape == (12, 8, 1) and data.target_shape == (8, 8, 3)
    assert [len(images) for images in data[0]] == [5, 5]  # the smaller one begins again
    same = load(tmp_path, channels=3, image_size=8)
    assert same.image_shape == same.target_shape == (8, 8, 3)
    for name, odd in (("c.png", RGB[0]), ("d.png", RGB[0, :6, ..., :1])):
        write(tmp_path / "trainA" / name, odd)
    with pytest.raises(
        ValueError, match=r"trainA/00\.png has 12x8 .*trainA/d\.png 6x8.*image_size="
    ):
        load(tmp_path)
    with pytest.raises(ValueError, match=r"trainA/00\.png has 1, \S+trainA/c\.png 3.*channels=3"):
        load(tmp_path, image_size=8)
    assert load(tmp_path, image_size=8, channels=3).num_examples == 7


@pytest.mark.parametrize(
    ("folders", "options", "message"),
    [
        (["trainA"], {"kind": "domains"}, "set has trainA, but not the other one"),
        (["trainB", "testB"], {"kind": "domains"}, "set has trainB, but not the other one"),
        (["trainA", "trainB", "testA"], {}, r"\(testA\).*kind=\"domains\" to leave those out"),
        (["train", "test"], {"kind": "domains"}, r'train has no folders\. .* kind="pairs"'),
        (["a", "b", "c"], {"kind": "domains"}, r"set has \['a', 'b', 'c'\]"),
        (
            ["A/train", "A/test", "B/train"],
            {"kind": "domains"},
            r"A holds .*\(test, train\).*test/B",
        ),
        (
            ["trainA", "trainB"],
            {"kind": "pairs"},
            r"itself holds no images.*trainA.*Leave kind out",
        ),
        (["A", "B"], {"kind": "flat"}, r"as kind='flat' expects; its folders do \(\S+A, \S+B\)"),
    ],
)
def test_layouts_of_two_domains_and_pairs_that_are_mistaken(tmp_path, folders, options, message):
    for folder in folders:
        write_flat(tmp_path / "set" / folder, RGB[:2])
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "set", **options)


def test_half_of_two_domains_says_where_both_are(tmp_path):
    for name in ("trainA", "trainB"):
        write_flat(tmp_path / name, RGB[:2])
    with pytest.raises(ValueError, match=f"trainA is one of two domains: load {tmp_path}"):
        load(tmp_path / "trainA", kind="domains")


def test_an_empty_domain_is_named(tmp_path):
    write_flat(tmp_path / "trainA", RGB[:2])
    (tmp_path / "trainB").mkdir()
    (tmp_path / "trainB" / "list.txt").write_text("zebras")
    with pytest.raises(
        ValueError, match=r"'trainB' is empty: .*\(\.txt 1\)\. Put its images there"
    ):
        load(tmp_path)


def test_kinds_are_of_folders(tmp_path):
    np.save(tmp_path / "wide.npy", np.concatenate([RGB, RGB], axis=2))
    for find in (load, splits):
        with pytest.raises(
            ValueError, match=r"kind='pairs' is for folders, .*wide\.npy.*ImagePairs"
        ):
            find(tmp_path / "wide.npy", kind="pairs")
    with pytest.raises(ValueError, match=r"no folder 'cycle_gan/maps'; .* leave kind out"):
        load("cycle_gan/maps", kind="domains")
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(RGB[..., 0]))
    assert load(tmp_path / "train-images-idx3-ubyte", kind="idx").num_examples == 10


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
    with pytest.raises(
        ValueError, match=r'wide\.png is 9 pixels wide.*even.*leave kind="pairs" out'
    ):
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
