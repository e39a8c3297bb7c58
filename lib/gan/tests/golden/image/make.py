"""Makes the small pictures beside this script, and what Pillow and torchvision make of them.

    python make.py          (pillow, torch, torchvision, numpy; values below are of the versions in golden.json)

decode/       one file for each kind of picture; golden.json has the SHA-256 of the RGB bytes of convert("RGB"), and for
              lossy kinds the bytes themselves lie in decode/NAME.rgb.
resize/       of pictures by `formula` (the test has the same): raw RGB of torchvision's transforms.
"""

import hashlib
import json
import os

import numpy as np
import PIL
import torchvision
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

here = os.path.dirname(os.path.abspath(__file__))
W, H = 23, 17


def formula(w, h, a):
    """Smooth waves with a hard edge and some fine grain; integers only, so that any language gives the same bytes."""
    y, x, c = np.meshgrid(np.arange(h), np.arange(w), np.arange(3), indexing="ij")
    wave = (x * (7 + c) + y * (5 - c) * a) % 512
    wave = np.where(wave > 255, 511 - wave, wave)
    edge = np.where((x * 3 + y * 2) % 97 < 40, 60, 0)
    grain = (x * 31 + y * 17 + c * 13) * (x + 3) % 23
    return np.clip(wave - edge + grain, 0, 255).astype(np.uint8)


def save(name, image, **options):
    image.save(os.path.join(here, "decode", name), **options)


def decode_files():
    os.makedirs(os.path.join(here, "decode"), exist_ok=True)
    rgb = Image.fromarray(formula(W, H, 3))
    alpha = Image.fromarray(formula(W, H, 5)[:, :, 0])
    rgba = rgb.copy()
    rgba.putalpha(alpha)
    gray = rgb.convert("L")
    la = Image.merge("LA", (gray, alpha))
    palette = rgb.quantize(31)
    sixteen = formula(W, H, 3)[:, :, 0].astype(np.uint16) * 256 + formula(W, H, 7)[:, :, 1]
    for suffix in ("png", "bmp", "ppm", "tif"):
        save(f"rgb.{suffix}", rgb)
    save("lzw.tif", rgb, compression="tiff_lzw")
    save("deflate.tif", rgb, compression="tiff_adobe_deflate")
    save("packbits.tif", rgb, compression="packbits")
    save("lossless.webp", rgb, lossless=True)
    save("lossless_alpha.webp", rgba, lossless=True, exact=True)
    save("lossy.webp", rgb, quality=80)
    for suffix in ("png", "bmp", "pgm", "tif"):
        save(f"gray.{suffix}", gray)
    save("rgba.png", rgba)
    save("rgba.tif", rgba)
    save("la.png", la)
    save("onebit.png", rgb.convert("1"))
    save("onebit.pbm", rgb.convert("1"))
    save("onebit.bmp", rgb.convert("1"))
    save("onebit.tif", rgb.convert("1"))
    save("palette.png", palette)
    save("palette4.png", rgb.quantize(13), bits=4)
    save("palette2.png", rgb.quantize(4), bits=2)
    save("palette_alpha.png", palette, transparency=bytes(range(0, 248, 8)))
    save("palette.bmp", palette)
    save("palette.gif", palette)
    save("transparent.gif", palette, transparency=3)
    save("animated.gif", palette, save_all=True, append_images=[palette.rotate(180)])
    save("interlaced.gif", palette, interlace=1)
    save("gray16.png", Image.fromarray(sixteen))
    save("gray16.tif", Image.fromarray(sixteen))
    with open(os.path.join(here, "decode", "gray16.pgm"), "wb") as f:
        f.write(b"P5\n%d %d\n65535\n" % (W, H) + sixteen.astype(">u2").tobytes())
    with open(os.path.join(here, "decode", "maxval127.pgm"), "wb") as f:
        f.write(b"P5\n# a comment\n%d %d\n127\n" % (W, H) + (np.array(gray) % 128).astype(np.uint8).tobytes())
    with open(os.path.join(here, "decode", "plain.ppm"), "wb") as f:
        f.write(b"P3\n%d %d\n255\n" % (W, H) + " ".join(map(str, np.array(rgb).ravel())).encode())
    for name, colour, planes in (("rgb16.png", 2, 3), ("rgba16.png", 6, 4), ("la16.png", 4, 2)):
        data = np.stack([sixteen, sixteen[::-1], sixteen[:, ::-1], sixteen[::-1, ::-1]], -1)[:, :, :planes]
        write_png16(os.path.join(here, "decode", name), data, colour)
    save("q95.jpg", rgb, quality=95, subsampling=0)
    save("q80_420.jpg", rgb, quality=80)
    save("q80_422.jpg", rgb, quality=80, subsampling=1)
    save("progressive.jpg", rgb, quality=80, progressive=True)
    save("gray.jpg", gray, quality=90)
    save("cmyk.jpg", rgb.convert("CMYK"), quality=95)
    exif = Image.Exif()
    exif[0x0112] = 6
    save("rotated.jpg", rgb, quality=90, exif=exif)
    golden = {}
    for name in sorted(os.listdir(os.path.join(here, "decode"))):
        if name.endswith(".rgb"):
            continue
        image = Image.open(os.path.join(here, "decode", name))
        mode, pixels = image.mode, np.array(image.convert("RGB"))
        golden[name] = {"mode": mode, "size": image.size, "sha256": hashlib.sha256(pixels.tobytes()).hexdigest()}
        if name.endswith(".jpg") or name == "lossy.webp":
            pixels.tofile(os.path.join(here, "decode", name + ".rgb"))
    return golden


def write_png16(path, data, colour):
    """Pillow writes no 16-bit colour."""
    import struct
    import zlib

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in data)
    header = struct.pack(">IIBBBBB", data.shape[1], data.shape[0], 16, colour, 0, 0, 0)
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


# name of the output: (width, height, the formula's a, centred crop, size, filter)
RESIZE = {
    "down_bilinear": (45, 53, 3, None, 16, "bilinear"),
    "down_bicubic": (45, 53, 3, None, 16, "bicubic"),
    "down_lanczos": (45, 53, 3, None, 16, "lanczos"),
    "down_box": (45, 53, 3, None, 16, "box"),
    "down_hamming": (45, 53, 3, None, 16, "hamming"),
    "down_nearest": (45, 53, 3, None, 16, "nearest"),
    "up_bilinear": (7, 5, 2, None, 16, "bilinear"),
    "up_lanczos": (5, 9, 2, None, 16, "lanczos"),
    "up_nearest": (7, 5, 2, None, 16, "nearest"),
    "wide": (131, 23, 4, None, 16, "bilinear"),
    "tall": (23, 131, 4, None, 16, "bilinear"),
    "cropped": (45, 53, 3, 28, 16, "bilinear"),
    "odd_crop": (40, 57, 3, 31, 13, "lanczos"),
    "same": (16, 21, 3, None, 16, "bilinear"),
}


def resize_files():
    os.makedirs(os.path.join(here, "resize"), exist_ok=True)
    for name, (w, h, a, crop, size, mode) in RESIZE.items():
        steps = [CenterCrop(crop)] if crop else []
        steps += [Resize(size, interpolation=getattr(InterpolationMode, mode.upper())), CenterCrop(size)]
        image = Compose(steps)(Image.fromarray(formula(w, h, a)))
        np.array(image).tofile(os.path.join(here, "resize", name + ".rgb"))
    return {name: list(spec) for name, spec in RESIZE.items()}


golden = {
    "pillow": PIL.__version__,
    "torchvision": torchvision.__version__.split("+")[0],
    "formula_sha256": hashlib.sha256(formula(45, 53, 3).tobytes()).hexdigest(),
    "decode": decode_files(),
    "resize": resize_files(),
}
with open(os.path.join(here, "golden.json"), "w") as f:
    json.dump(golden, f, indent=1, sort_keys=True)
    f.write("\n")
