"""What people and attackers upload."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from serving.gateway import pictures
from serving.gateway.pictures import PictureRules, to_pixels, to_png
from serving.gateway.refusals import Refusal

ROOT = Path(pictures.__file__).parents[2]
RULES = PictureRules(size=(8, 8), mode="grey", fit="stretch", max_pixels=1_000_000)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png(width: int, height: int, data: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG whose header may say anything."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), *extra, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


NOISE = encoded(Image.effect_noise((60, 60), 90))
LIGHT = Image.linear_gradient("L").resize((40, 20))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
@pytest.mark.parametrize("mode", ["grey", "colour"])
def test_every_kind_becomes_a_png_of_the_models_size(kind: str, mode: str) -> None:
    content = to_png(encoded(LIGHT.convert("RGB"), kind), PictureRules((6, 3), mode, "stretch", 1000))
    with Image.open(io.BytesIO(content)) as found:
        assert (found.format, found.size, found.mode) == ("PNG", (6, 3), "L" if mode == "grey" else "RGB")


def test_a_picture_that_fits_is_left_pixel_for_pixel() -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    assert np.array_equal(to_pixels(encoded(Image.fromarray(pixels)), RULES)[..., 0], pixels)


def test_a_photo_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    half = Image.new("L", (64, 64))
    half.paste(255, (0, 0, 64, 32))
    pixels = to_pixels(encoded(half, "JPEG", exif=exif), RULES)
    assert pixels[0].mean() < 30 < 200 < pixels[-1].mean()


@pytest.mark.parametrize("turned", range(1, 9))
def test_large_picture_turned_any_way_is_what_a_small_one_is(turned: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turned
    large, small = (LIGHT.resize(size, Image.Resampling.NEAREST) for size in ((1200, 600), (80, 40)))
    found, expected = (to_pixels(encoded(image, exif=exif), RULES).astype(int) for image in (large, small))
    assert np.abs(found - expected).max() <= 2


@pytest.mark.parametrize("mode", ["P", "RGBA", "I;16", "L", "1"])
def test_bands_make_what_the_whole_makes(mode: str, monkeypatch) -> None:
    noise = Image.effect_noise((301, 203), 90)
    image = Image.fromarray(np.asarray(noise).astype(np.uint16) * 257) if mode == "I;16" else noise.convert(mode)
    rules = PictureRules(None, "colour", "stretch", 100_000)
    whole = to_pixels(encoded(image), rules)
    monkeypatch.setattr(pictures, "_BAND_PIXELS", 3010)
    assert np.array_equal(to_pixels(encoded(image), rules), whole)
    assert np.array_equal(to_pixels(encoded(image), RULES), to_pixels(encoded(Image.fromarray(whole)), RULES))


PEAK = """
import io
from PIL import Image
from serving.gateway.pictures import PictureRules, to_png
out = io.BytesIO()
Image.new("RGBA", (8, 8), (1, 2, 3, 4)).resize((3000, 3000)).save(out, "PNG")
def kilobytes(what): return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(what))
with open("/proc/self/clear_refs", "w") as file: file.write("5")
before = kilobytes("VmRSS")
to_png(out.getvalue(), PictureRules((28, 28), "colour", "stretch", 12_500_000))
print(kilobytes("VmHWM") - before)
"""


def test_large_picture_needs_little_more_memory_than_its_decoded_pixels() -> None:
    done = subprocess.run([sys.executable, "-c", PEAK], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1.5 * 4 * 3000 * 3000 / 1024  # of 4 bytes a pixel


@pytest.mark.parametrize(("fit", "corner"), [("stretch", 200), ("crop", 200), ("pad", 0)])
def test_other_proportions_are_fitted_as_told(fit: str, corner: int) -> None:
    rules = PictureRules((8, 8), "grey", fit, 1000)
    assert to_pixels(encoded(Image.new("L", (20, 10), 200)), rules)[0, 0, 0] == corner


def test_what_is_transparent_is_white_and_16_bits_become_8() -> None:
    assert to_pixels(encoded(Image.new("RGBA", (8, 8), (0, 0, 0, 0))), RULES).min() == 255
    deep = Image.fromarray(np.full((8, 8), 257 * 100, np.uint16))
    assert to_pixels(encoded(deep), RULES).tolist() == [[[100]] * 8] * 8


def test_only_the_pixels_of_a_polyglot_go_further() -> None:
    hidden = encoded(LIGHT, "GIF") + b"<script>alert(1)</script>PK\x03\x04"
    assert b"script" not in to_png(hidden, RULES)


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
HOSTILE = {
    "a bomb of pixels": (png(60_000, 60_000, zlib.compress(bytes(1000))), 413),
    "more pixels than fit 32 bits": (png(2**31 - 1, 2**31 - 1, zlib.compress(b"")), 413),
    "a bit above the limit": (encoded(Image.new("1", (1001, 1000))), 413),
    "a size of nothing": (png(0, 0, zlib.compress(b"")), 415),
    "a truncated JPEG": (encoded(LIGHT, "JPEG")[:300], 422),
    "a truncated PNG": (NOISE[:1000], 422),
    "a broken checksum": (NOISE[:1000] + b"\x00\x00" + NOISE[1002:], 422),
    "too few pixels": (png(100, 100, zlib.compress(bytes(10))), 422),
    "a text chunk that inflates": (
        png(8, 8, zlib.compress(bytes(72)), (b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 26)))),
        422,
    ),
    "an SVG": (SVG, 415),
    "a PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", 415),
    "a TIFF": (encoded(LIGHT, "TIFF"), 415),
    "an icon": (encoded(LIGHT.convert("RGBA").resize((16, 16)), "ICO"), 415),
    "a page": (b"<!doctype html>", 415),
    "nothing": (b"", 415),
    "only a signature": (b"\x89PNG\r\n\x1a\n", 415),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_uploads_are_refused_with_the_right_status(what: str) -> None:
    content, status = HOSTILE[what]
    with pytest.raises(Refusal) as raised:
        to_png(content, RULES)
    assert raised.value.status == status


def test_any_damage_is_refused_or_read_but_nothing_else() -> None:
    random = np.random.default_rng(5)
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP"):
        whole = np.frombuffer(encoded(LIGHT.convert("RGB"), kind), np.uint8)
        for _ in range(60):
            broken = whole.copy()
            broken[random.integers(0, len(whole), 4)] = random.integers(0, 256, 4)
            try:
                to_png(broken.tobytes(), RULES)
            except Refusal as refusal:
                assert refusal.status in (413, 415, 422)
