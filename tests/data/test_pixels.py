"""Encoded images: which files are images, what is transparent, what is refused."""

import io
import warnings

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image, features

from kgen.data import load
from kgen.data.pixels import BrokenImage, color, decode, probe, suffixes, with_channels

RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (12, 8, 3), "uint8")


def everything(data):
    return data.fetch(np.arange(data.num_examples))


def test_every_suffix_of_an_image_that_pillow_reads():
    taken = suffixes()
    assert {".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".apng", ".webp", ".bmp", ".gif"} <= taken
    assert {".tif", ".tga", ".pbm", ".pgm", ".pnm", ".ico", ".pcx", ".psd", ".dds", ".mpo"} <= taken
    assert not taken & {".pdf", ".eps", ".ps", ".mpg", ".mpeg", ".h5", ".hdf", ".wmf", ".txt"}
    assert (".avif" in taken) == features.check("avif")


def test_all_that_pillow_writes_is_read_again(tmp_path):
    for i, suffix in enumerate(sorted(suffixes())):
        format_ = Image.registered_extensions()[suffix]
        for mode in ("RGB", "L", "1", "P"):
            try:
                Image.fromarray(RGB).convert(mode).save(tmp_path / f"{i}{suffix.upper()}", format_)
                break
            except (KeyError, OSError, ValueError):  # not written in this mode, or not at all
                (tmp_path / f"{i}{suffix.upper()}").unlink(missing_ok=True)
    written = {path.suffix.lower() for path in tmp_path.iterdir()}
    assert len(written) > 30 and {".jfif", ".tga", ".pbm", ".qoi"} <= written
    data = load(tmp_path, channels=3, image_size=(12, 8))
    assert data.num_examples == len(written)
    for path in tmp_path.iterdir():
        assert probe(path, path.name)[:2] == decode(path, path.name).shape[:2]


def test_what_pillow_will_give_up_is_left_out_without_its_warnings(tmp_path, recwarn, capsys):
    warnings.simplefilter("always")
    Image.fromarray(RGB).save(tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Image.fromarray(RGB).save(tmp_path / "b.im")
    recwarn.clear()
    assert load(tmp_path).num_examples == 1 and not recwarn
    assert "files that are left out, by suffix: .im 1" in capsys.readouterr().out
    (tmp_path / "b.im").rename(tmp_path / "b.png")  # also by content
    with pytest.raises(BrokenImage, match="its content is no image"):
        load(tmp_path)
    assert not recwarn


@pytest.mark.parametrize("form", ["EPS", "PDF", "IM"])
def test_formats_that_are_not_read_are_not_opened_under_another_suffix(tmp_path, form):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Image.fromarray(RGB).save(tmp_path / "a.png", form)
    with pytest.raises(BrokenImage, match=r"a\.png cannot be read: its content is no image"):
        load(tmp_path)


def test_modes_that_pillow_converts_to_color_alone(tmp_path):
    for mode in ("LAB", "CMYK", "YCbCr"):
        image = Image.fromarray(RGB, "LAB") if mode == "LAB" else Image.fromarray(RGB).convert(mode)
        image.save(tmp_path / "a.tif")
        (colors,) = everything(load(tmp_path, channels=3))
        (gray,) = everything(load(tmp_path, channels=1))
        np.testing.assert_allclose(gray[..., 0], Image.fromarray(colors).convert("L"), atol=1)


def test_what_another_package_teaches_pillow_is_read(tmp_path, monkeypatch):
    monkeypatch.setitem(Image.EXTENSION, ".heic", "PNG")
    Image.fromarray(RGB).save(tmp_path / "a.heic")
    np.testing.assert_array_equal(everything(load(tmp_path))[0], RGB)


def transparent(kind):
    """An image whose right half is transparent, its colour hidden: encoded, and its left half."""
    opacity = np.zeros((12, 8), "uint8")
    opacity[:, :4] = 255
    visible = np.full((12, 8, 3), (200, 10, 60), "uint8")
    hidden = np.where(opacity[..., None] > 0, visible, np.uint8((217, 163, 130))).astype("uint8")
    gray, options, form = hidden[..., 0], {}, "PNG"
    if kind == "RGBA":
        image = Image.fromarray(np.dstack([hidden, opacity]))
    elif kind == "LA":
        image = Image.fromarray(np.dstack([gray, opacity]))
    elif kind in ("P", "GIF"):
        image, form = Image.fromarray(hidden).quantize(4), "GIF" if kind == "GIF" else form
        options["transparency"] = int(image.getpixel((7, 0)))
    elif kind == "RGB":
        image, options["transparency"] = Image.fromarray(hidden), (217, 163, 130)
    elif kind == "L":
        image, options["transparency"] = Image.fromarray(gray), 217
    elif kind == "16 bits":
        image, options["transparency"] = Image.fromarray(gray.astype("uint16") * 257), 217 * 257
    else:
        image, form = Image.fromarray(np.dstack([hidden, opacity])), kind
        options["lossless"] = True
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue(), (200, 10, 60) if image.mode in ("RGB", "RGBA", "P") else (200,) * 3


KINDS = ["RGBA", "LA", "P", "GIF", "RGB", "L", "16 bits", "WEBP", "TIFF", "TGA", "ICO"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("background", "shown"), [("white", 255), ("black", 0), (77, 77), ((0, 128, 255), None)]
)
def test_what_is_transparent_is_shown_on_the_background(tmp_path, kind, background, shown):
    content, left = transparent(kind)
    suffix = kind.lower() if kind in ("GIF", "WEBP", "TIFF", "TGA", "ICO") else "png"
    (tmp_path / f"a.{suffix}").write_bytes(content)
    assert load(tmp_path).image_shape == (12, 8, 4)  # as it is
    for memory in (None, 0):
        options = {"background": background, "memory": memory}
        (image,) = everything(load(tmp_path, channels=3, **options))
        assert (image[:, 4:] == (background if shown is None else shown)).all()
        assert (image[:, :4] == left).all()
        (gray,) = everything(load(tmp_path, channels=1, **options))
        expected = Image.fromarray(image).convert("L")
        np.testing.assert_array_equal(gray[..., 0], np.asarray(expected))


def test_opacity_blends_as_pillow_does():
    rgba = RANDOM.integers(0, 256, (3, 12, 8, 4), "uint8")
    for background in ((255, 255, 255), (10, 200, 90)):
        found = with_channels(rgba, 3, background)
        for image, own in zip(found, rgba, strict=True):
            pasted = Image.new("RGB", (8, 12), background)
            pasted.paste(Image.fromarray(own), mask=Image.fromarray(own).getchannel("A"))
            np.testing.assert_array_equal(image, np.asarray(pasted))
        np.testing.assert_array_equal(with_channels(found, 1), with_channels(rgba, 1, background))
    with pytest.raises(ValueError, match=r"4 channels \(float32\) cannot be converted"):
        with_channels(rgba.astype("float32"), 3)


@pytest.mark.parametrize("memory", [None, 0])
def test_transparency_in_arrays(tmp_path, memory):
    rgba = np.dstack([RGB, np.zeros((12, 8), "uint8")])[None]
    np.save(tmp_path / "a.npy", rgba)
    np.savez(tmp_path / "a.npz", rgba)
    for name in ("a.npy", "a.npz"):
        for options, level in (({}, 255), ({"background": "black"}, 0)):
            data = load(tmp_path / name, channels=3, memory=memory, **options)
            assert (everything(data) == level).all()


def test_the_background_is_part_of_what_the_data_are(tmp_path):
    (tmp_path / "a.png").write_bytes(transparent("RGBA")[0])
    names = ("white", "#ffffff", 255, (255, 255, 255), "black")
    prints = [load(tmp_path, channels=3, background=name).fingerprint for name in names]
    assert len(set(prints[:4])) == 1 and prints[4] != prints[0]


def test_the_message_about_channels_names_the_background(tmp_path):
    for name, mode in {"a": "L", "b": "RGB", "c": "RGBA"}.items():
        Image.fromarray(RGB).convert(mode).save(tmp_path / f"{name}.png")
    message = r'b\.png 3\. Pass channels=1 .*channels=3 .*transparent.*background="white"'
    with pytest.raises(ValueError, match=message):
        load(tmp_path)
    assert load(tmp_path, channels=3).num_examples == 3
    (tmp_path / "c.png").unlink()
    with pytest.raises(ValueError, match=r"channels=3 \(colour\)\.$"):
        load(tmp_path)


def test_colors():
    assert color("white") == color(255) == color([255] * 3) == (255, 255, 255)
    assert color("#08f") == color(np.array([0, 136, 255]).tolist()) == (0, 136, 255)
    for value in (
        "whyte",
        "#ff000080",
        None,
        True,
        256,
        -1,
        1.5,
        (1, 2),
        (1, 2, 3, 4),
        (1, 2, "x"),
    ):
        with pytest.raises(ValueError, match=r"background must be an opaque colour.*got"):
            load("digits/8x8", background=value)


class Stickers(tfds.core.GeneratorBasedBuilder):
    """Transparent files, as a set may hold them whose images are said to be RGB."""

    VERSION = tfds.core.Version("1.0.0")
    channels = 3

    def _info(self):
        shape = (12, 8, self.channels)
        images = tfds.features.FeaturesDict({"image": tfds.features.Image(shape=shape)})
        return tfds.core.DatasetInfo(builder=self, features=images)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        yield 0, {"image": io.BytesIO(transparent("RGBA")[0])}


class RgbaStickers(Stickers):
    """The same, and said to be transparent."""

    VERSION = tfds.core.Version("1.0.0")
    channels = 4


@pytest.mark.parametrize("memory", [None, 0])
def test_transparency_in_tensorflow_datasets(tmp_path, memory):
    for name, channels in (("stickers", None), ("stickers", 1), ("rgba_stickers", 3)):
        for background, level in (("white", 255), ("black", 0)):
            options = {"data_dir": tmp_path, "memory": memory, "channels": channels}
            (image,) = everything(load(name, background=background, **options))
            assert image.shape == (12, 8, channels or 3) and (image[:, 4:] == level).all()
    assert load("rgba_stickers", data_dir=tmp_path, memory=memory).image_shape == (12, 8, 4)


def test_a_picture_over_pillows_limit_is_not_called_broken(tmp_path, monkeypatch, capsys):
    for i in range(3):
        Image.fromarray(RGB).save(tmp_path / f"{i}.png")
    Image.new("RGB", (30, 20)).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 299)
    with pytest.raises(BrokenImage) as error:
        load(tmp_path, image_size=8)
    message = str(error.value)
    assert "large.png cannot be read: it has more pixels than Pillow takes unasked, 598." in message
    assert "PIL.Image.MAX_IMAGE_PIXELS = None" in message and "Replace" not in message
    assert load(tmp_path, image_size=8, skip_broken=True).num_examples == 3
    assert "large.png" in capsys.readouterr().out
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert load(tmp_path, image_size=8).num_examples == 4


def test_hidden_colors_do_not_show_where_transparent_images_are_resized(tmp_path):
    images = np.zeros((1, 16, 16, 4), "uint8")
    images[:, :, :8], images[:, :, 8:] = (255, 0, 0, 255), (0, 255, 0, 0)
    np.save(tmp_path / "half.npy", images)
    Image.fromarray(images[0]).save(tmp_path / "half.png")
    (tmp_path / "folder").mkdir()
    (tmp_path / "half.png").rename(tmp_path / "folder" / "half.png")
    for source in ("half.npy", "folder"):
        (found,) = load(tmp_path / source, image_size=5).fetch(np.arange(1))
        shown = found[found[..., 3] > 0]
        assert (shown[:, 0] > 250).all() and not shown[:, 1].any()
        assert found[..., 3].min() == 0 and 100 < found[2, 2, 3] < 155
