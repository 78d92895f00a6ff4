"""What folders of one's own mean: splits in any spelling, wrappers, links, and what is asked."""

import os

import numpy as np
import pytest
from PIL import Image

from kgen.data import ImagePairs, load, splits

IMAGE = Image.fromarray(np.arange(8 * 8 * 3, dtype="uint8").reshape(8, 8, 3))


def make(root, *folders, n=5, files=()):
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            IMAGE.save(root / folder / f"{i}.png")
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("no image")
    return root


def classes(*names, below=("cats", "dogs")):
    return [f"{name}/{inner}" for name in names for inner in below]


def counts(data):
    return np.bincount(data.labels, minlength=data.num_classes).tolist()


@pytest.mark.parametrize(
    ("train", "test", "other"),
    [
        ("Train", "Test", None),
        ("TRAIN", "TEST", "VAL"),
        ("training", "testing", "Validation"),
        ("trn", "tst", "val"),
        ("train_set", "test_set", "valid"),
        ("TrainSet", "TestSet", "DevSet"),
        ("Training Images", "Test Images", "eval"),
        ("train2017", "test2017", "val2017"),
        ("pets_train", "pets_test", None),
        ("dataset-train", "dataset-test", "dataset-val"),
        ("pets/archive/train", "pets/archive/test", None),
        ("train/train", "test/test", "val/val"),
        ("data/Train/images", "data/Test/images", None),
    ],
)
def test_splits_in_any_spelling(tmp_path, train, test, other):
    make(tmp_path, *classes(train), n=4)
    make(tmp_path, *classes(*filter(None, (test, other))), n=1)
    assert splits(tmp_path) == ["train", "test", *(["validation"] if other else [])]
    for split, each in {None: 4, "train": 4, "Train": 4, "test": 1, "testing": 1}.items():
        data = load(tmp_path, split)
        assert data.class_names == ["cats", "dogs"] and counts(data) == [each, each]
    if other:
        assert counts(load(tmp_path, "val")) == counts(load(tmp_path, "validation")) == [1, 1]
    assert counts(load(tmp_path, "all")) == [6, 6] if other else [5, 5]
    with pytest.raises(ValueError, match=r"has the splits \['train'"):
        load(tmp_path, "train[:2]")


def test_a_class_has_one_label_in_all_splits(tmp_path):
    make(tmp_path, *classes("Train", below=("cat", "dog", "emu")), "Test/emu", n=2)
    data = load(tmp_path, "test")
    assert data.class_names == ["cat", "dog", "emu"] and counts(data) == [0, 0, 2]
    make(tmp_path / "alone", "train/cat", "test/cat")
    assert load(tmp_path / "alone").labels is None


def test_a_test_set_without_classes(tmp_path):
    make(tmp_path, *classes("train"), "test")
    assert counts(load(tmp_path)) == [5, 5] and load(tmp_path, "test").labels is None
    with pytest.raises(ValueError, match=r"of \['classes', 'flat'\]: load one"):
        load(tmp_path, "all")


def test_without_training_images_the_split_is_asked_for(tmp_path):
    make(tmp_path, "test")
    assert load(tmp_path).num_examples == 5
    with pytest.raises(ValueError, match=r"\['test'\]; got 'train'. .*/test, which has 'train'"):
        load(tmp_path, "train")
    make(tmp_path, "val")
    with pytest.raises(ValueError, match=r"\['test', 'validation'\]; pass split=.*/test\."):
        load(tmp_path)


@pytest.mark.parametrize(
    ("folders", "inner"),
    [
        (classes("dataset"), "dataset"),
        (classes("a/b"), "a/b"),
        (["photos"], "photos"),
        (["images"], "images"),
    ],
)
def test_wrappers_are_stepped_into_and_said(tmp_path, capsys, folders, inner):
    junk = ["__MACOSX/x/._0.png", "__MACOSX/0.png", ".DS_Store", ".cache/0.png", "@eaDir/0.png"]
    make(tmp_path, *folders, files=["labels.csv", "annotations/0.xml"] * (inner == "images") + junk)
    data = load(tmp_path)
    assert data.class_names == (["cats", "dogs"] if len(folders) == 2 else None)
    said = capsys.readouterr().out
    assert f"{tmp_path}: what is loaded lies in {tmp_path / inner}\n" in said
    assert ("by suffix: .csv 1\n" in said) == (inner == "images")


def test_one_class_by_itself(tmp_path):
    make(tmp_path, "cats")
    assert load(tmp_path).labels is None
    data = load(tmp_path, kind="classes")
    assert data.class_names == ["cats"] and counts(data) == [5]


def test_folders_below_classes(tmp_path):
    make(tmp_path, "cats/images", "dogs/images", "dogs/more/images")
    assert counts(load(tmp_path)) == [5, 10]
    make(tmp_path / "numbers", *map(str, range(10)), n=1)
    assert load(tmp_path / "numbers").num_classes == 10


@pytest.mark.parametrize(
    ("names", "label"),
    [
        (("trainA", "trainB", "testA", "testB"), "trainA"),
        (("TrainA", "TrainB", "TESTA", "TESTB"), "TrainA"),
        (("train_a", "train_b", "test_a", "test_b"), "train_a"),
        (("zebras/trainA", "zebras/trainB", "zebras/testA", "zebras/testB"), "trainA"),
    ],
)
def test_two_domains_in_any_spelling(tmp_path, names, label):
    make(tmp_path, *names[:2])
    make(tmp_path, *names[2:], n=2)
    data = load(tmp_path)
    assert isinstance(data, ImagePairs) and data.domain_names[0] == label
    assert splits(tmp_path) == ["train", "test"]
    assert [load(tmp_path, s).num_examples for s in (None, "train", "Test", "all")] == [5, 5, 2, 7]


def test_only_test_images_of_two_domains(tmp_path):
    assert isinstance(load(make(tmp_path, "testA", "testB")), ImagePairs)


def test_linked_folders_are_followed_without_looping(tmp_path):
    make(tmp_path / "real", "cats", "more", "dogs")
    photos = make(tmp_path / "photos", "dogs")
    (photos / "cats").symlink_to(tmp_path / "real" / "cats")
    (photos / "dogs" / "more").symlink_to(tmp_path / "real" / "more")
    (photos / "dogs" / "twice").symlink_to(tmp_path / "real" / "more")
    (photos / "dogs" / "up").symlink_to("..")
    (photos / "self").symlink_to(".")
    assert counts(load(photos)) == [5, 10]
    (tmp_path / "linked").symlink_to(photos)
    assert counts(load(tmp_path / "linked")) == [5, 10]
    (tmp_path / "wrapper").mkdir()
    (tmp_path / "wrapper" / "data").symlink_to(photos)
    assert counts(load(tmp_path / "wrapper")) == [5, 10]
    (photos / "emus").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="emus is a link to nothing: mend or delete it"):
        load(photos)
    os.remove(photos / "emus")
    (photos / "emus").symlink_to("emus")
    with pytest.raises(ValueError, match="emus is a link to nothing"):
        load(photos)


@pytest.mark.parametrize(
    ("folders", "link", "target"),
    [
        (["cats"], "dogs", "cats"),
        (["cats/more", "emus"], "dogs", "cats/more"),
        (["cats", "dogs"], "cats/more", "dogs"),
        (["cats", "dogs/more/deep"], "cats/deep", "dogs/more/deep"),
        (classes("train"), "test", "train"),
        ([*classes("train"), "test/cats"], "test/dogs", "train/dogs"),
        ([*classes("train"), "test/cats"], "test/dogs", "train/cats"),
        (["train"], "test", "train"),
        (["trainA"], "trainB", "trainA"),
        (["trainA", "trainB", "testA"], "testB", "trainB"),
        (["trainA/deep", "trainB"], "trainB/deep", "trainA/deep"),
    ],
)
def test_a_folder_that_links_make_part_of_two_is_refused(tmp_path, folders, link, target):
    photos = make(tmp_path / "photos", *folders)
    (photos / link).symlink_to(photos / target)
    for split in (None, "all", "train") if "deep" not in link else (None, "all"):
        with pytest.raises(ValueError, match=f"share a folder, .*{target}.*Delete the link"):
            load(photos, split)
    (photos / link).unlink()
    assert load(make(photos, link)).num_examples >= 5


def test_images_that_are_linked_are_the_users_own(tmp_path):
    """One image may belong to two classes; a folder that two classes share is a slip."""
    photos = make(tmp_path, "cats", "dogs", n=2)
    os.link(photos / "cats" / "0.png", photos / "dogs" / "hard.png")
    (photos / "dogs" / "soft.png").symlink_to("../cats/1.png")
    assert counts(load(photos)) == [2, 4]


def test_links_to_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, target in (("gone", "nowhere"), ("loop", "loop"), ("gone.npz", "no.npz")):
        (tmp_path / name).symlink_to(target)
        for path in (name, f"./{name}", tmp_path / name):
            with pytest.raises(ValueError, match=f"{name} is a link to nothing: mend or delete it"):
                load(path)


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("Train", "train"), "several folders for the split 'train': Train, train"),
        (("train", "val", "valid"), "several folders for the split 'validation': val, valid"),
        (("train_1", "train_2"), "several folders for the split 'train'"),
        (("trainA", "TrainA", "trainB"), "several folders for trainA"),
        (("bus", "car", "Train"), r'\(Train\) and others.*\(bus, car\).*kind="classes"'),
        (("train", "test", "unlabeled"), r'others with images \(unlabeled\).*kind="classes"'),
        (("", "train/cats", "test/cats"), r'and images beside them \(.*kind="flat"'),
        (("", "test"), "and images beside them"),
        (("cats_train", "cats_test", "dogs_train"), r'speak of splits.*kind="classes"'),
        ([*classes("seg_train", "seg_test"), "seg_pred"], r'speak of splits.*kind="classes"'),
        (classes("cats", "dogs", below=("train", "test")), r"cats holds folders named by splits"),
        (classes("fold1", "fold2"), r'same folders \(cats, dogs\).*kind="classes"'),
        (("images", "masks"), r'images is no name of a class. If so, pass kind="classes"'),
        (("train/Cat", "test/cat", "test/dog"), r"Cat and cat differ in case only"),
        (("Cat", "cat"), r'Cat and cat differ in case only. If so, pass kind="classes"'),
        (("A", "B"), r'two domains \(kind="domains"\). If so, pass kind="classes"'),
        (("trainA", "trainB", "cats"), r'two domains.*\(cats\).*kind="domains".*kind="classes"'),
        (("train/train", "train/test"), r"train has the splits \['train', 'test'\] again"),
    ],
)
def test_what_may_mean_two_things_is_asked_for(tmp_path, folders, message):
    make(tmp_path, *folders)
    with pytest.raises(ValueError, match=message) as error:
        load(tmp_path)
    for kind in ("classes", "domains", "flat"):  # advice that can be followed
        if f'kind="{kind}"' in str(error.value):
            assert load(tmp_path, kind=kind).num_examples >= 5


def test_names_of_classes_that_are_not_those_of_splits(tmp_path):
    for i, names in enumerate((("steam train", "car"), ("train station", "bus"), ("A", "B", "C"))):
        assert load(make(tmp_path / str(i), *names)).class_names == sorted(names)


def test_files_that_are_left_out_are_counted(tmp_path, capsys):
    files = ["cats/a.heic", "cats/b.HEIC", "dogs/deep/notes.txt", "labels.csv", "cats/raw"]
    make(tmp_path, "cats", "dogs", files=[*files, "cats/.hidden.raw", "cats/Thumbs.db"])
    assert counts(load(tmp_path)) == [5, 5]
    said = capsys.readouterr().out
    assert f"{tmp_path}: files that are left out, by suffix: .heic 2, " in said
    assert {"no suffix 1", ".txt 1", ".csv 1"} <= set(said.splitlines()[0][-40:].split(", "))
    make(tmp_path / "flat", "", "cats", files=["a.pdf"])
    load(tmp_path / "flat", kind="flat")
    said = capsys.readouterr().out
    assert "by suffix: .pdf 1\n" in said and f"left out ({tmp_path / 'flat' / 'cats'})" in said
    make(tmp_path / "none", "cats", files=["dogs/a.heic"])
    with pytest.raises(ValueError, match=r"'dogs' is empty: .* other files \(\.heic 1\)"):
        load(tmp_path / "none")


def test_sets_without_splits_are_taken_whole_or_by_fifths(tmp_path, capsys):
    make(tmp_path / "photos", "cats", "dogs")
    np.savez(tmp_path / "a.npz", np.zeros((10, 8, 8), "uint8"))
    np.save(tmp_path / "a.npy", np.zeros((10, 8, 8), "uint8"))
    for name in ("photos", "a.npz", "a.npy"):
        path = tmp_path / name
        assert splits(path) == []
        assert load(path).num_examples == load(path, "all").num_examples == 10
        line = 'split="train" and split="test" are four fifths and one fifth of all.\n'
        assert capsys.readouterr().out == f"{path}: all 10 images. {line}"
        load(path, num_examples=7)
        assert capsys.readouterr().out == f"{path}: the first 7 images. {line}"
        counts_ = [load(path, split).num_examples for split in ("train", "test", "Test", "ALL")]
        assert counts_ == [8, 2, 2, 10]
        assert capsys.readouterr().out == ""
    load("digits/8x8", "Train"), load("toy2d/ring", num_examples=9)  # with splits of their own
    assert capsys.readouterr().out == "" and splits("digits") == ["train", "test"]
    with pytest.raises(ValueError, match=r'too few images \(3\) for split="test"'):
        load(make(tmp_path / "few", "", n=3), "test")


def test_splits_of_an_npz_in_any_spelling(tmp_path):
    images, labels = np.zeros((10, 8, 8), "uint8"), np.arange(10)
    for names in (("X_train", "Y_train", "X_test", "Y_test"), ("train_images", "train_labels")):
        arrays = zip(names, (images, labels, images[:3], labels[:3]), strict=False)
        np.savez(tmp_path / "a.npz", **dict(arrays))
        data = load(tmp_path / "a.npz", "Train")
        assert data.num_examples == 10 and data.num_classes == 10
    np.savez(tmp_path / "a.npz", x_train=images, x_test=images[:3], extra=labels)
    assert [load(tmp_path / "a.npz", s).num_examples for s in (None, "test", "all")] == [10, 3, 13]
    assert splits(tmp_path / "a.npz") == ["train", "test"]


def test_arrays_of_an_npz_that_may_be_two_things(tmp_path):
    images, labels = np.zeros((10, 8, 8), "uint8"), np.arange(10)
    for names in (("x_train", "train_images"), ("x_train", "X_train"), ("images", "x")):
        np.savez(tmp_path / "a.npz", **dict.fromkeys(names, images))
        with pytest.raises(ValueError, match=f"a.npz has several arrays .*{', '.join(names)}"):
            load(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", images=images, labels=labels, y=labels)
    with pytest.raises(ValueError, match=r"a\.npz has several arrays of labels: labels, y\. Keep"):
        load(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", labels=labels)
    with pytest.raises(ValueError, match=r"a\.npz holds the arrays \['labels'\]; expected images"):
        load(tmp_path / "a.npz")


def test_a_folder_with_the_name_of_an_embedded_set(tmp_path, monkeypatch, capsys):
    make(tmp_path, "digits")
    monkeypatch.chdir(tmp_path)
    assert load("digits/").num_examples == 5 and load("./digits").num_examples == 5
    capsys.readouterr()
    assert load("digits").num_examples == 4000
    assert capsys.readouterr().out == (
        "digits: the embedded set; the folder of that name is ./digits\n"
    )
