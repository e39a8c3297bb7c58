"""Makes table.gz and table.txt: small JPEGs of all kinds, and the pixels that Pillow reads of each.

    python make.py [--keep FOLDER]

table.gz is all files one after another, gzipped. table.txt has a line a file: its length in bytes, the first half of
the SHA-256 of Pillow's `convert("RGB")` pixels (or `refused`), and the file's name, which says how it was made and how
large the image is.
Needs Pillow, numpy and `cjpeg` and `jpegtran` of libjpeg-turbo 2.1 or newer; made with Pillow 13.0 (libjpeg-turbo 3.2).
"""
import gzip
import hashlib
import io
import itertools
import os
import struct
import subprocess
import sys
import tempfile
import warnings

import numpy as np
from PIL import Image

warnings.simplefilter("ignore")
FILES = {}  # name -> bytes


def picture(width, height, channels=3, seed=0):
    """Edges, ramps and noise: every coefficient is used."""
    rng = np.random.default_rng(1000 * width + height + seed)
    y, x = np.mgrid[0:height, 0:width]
    rgb = np.stack([x * 9 + 20, y * 7 + 10, (x + y) * 5 + 60], -1) % 256
    rgb = rgb + rng.normal(0, 24, rgb.shape)
    rgb[height // 4 : height // 2, width // 4 : width // 2] = [230, 20, 40]
    rgb[height // 2 :, 2 * width // 3 :] = [10, 200, 250]
    rgb = np.clip(rgb, 0, 255).astype(np.uint8)
    return rgb if channels == 3 else rgb[:, :, 0]


def pnm(array):
    height, width = array.shape[:2]
    return b"P%d\n%d %d\n255\n" % (6 if array.ndim == 3 else 5, width, height) + array.tobytes()


def cjpeg(array, *arguments, scans=None):
    command = ["cjpeg", *map(str, arguments)]
    if scans is not None:
        path = os.path.join(tempfile.gettempdir(), f"scans-{os.getpid()}")
        with open(path, "w") as file:
            file.write(scans)
        command += ["-scans", path]
    done = subprocess.run(command, input=pnm(array), capture_output=True)
    return done.stdout if done.returncode == 0 else None


def add(name, data):
    if data is not None:
        assert name not in FILES, name
        FILES[name] = bytes(data)


def segments(jpeg):
    """(marker, start, end) of each segment up to and with the first scan's header."""
    at = 2
    while True:
        marker, length = jpeg[at + 1], struct.unpack(">H", jpeg[at + 2 : at + 4])[0]
        yield marker, at, at + 2 + length
        at += 2 + length
        if marker == 0xDA:
            return


def without(jpeg, *markers):
    out, end = bytearray(jpeg[:2]), 2
    for marker, start, end in segments(jpeg):
        if marker not in markers:
            out += jpeg[start:end]
    return bytes(out + jpeg[end:])


def with_ids(jpeg, ids):
    """The components' numbers in every frame and scan header."""
    jpeg, old = bytearray(jpeg), None
    at = 2
    while at + 4 <= len(jpeg):
        if jpeg[at] != 0xFF or jpeg[at + 1] in (0, 0xFF) or 0xD0 <= jpeg[at + 1] <= 0xD8:
            at += 1
            continue
        marker = jpeg[at + 1]
        if marker == 0xD9:
            break
        length = struct.unpack(">H", jpeg[at + 2 : at + 4])[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            old = [jpeg[at + 10 + 3 * i] for i in range(jpeg[at + 9])]
            for i in range(len(old)):
                jpeg[at + 10 + 3 * i] = ids[i]
        if marker == 0xDA:
            for i in range(jpeg[at + 4]):
                jpeg[at + 5 + 2 * i] = ids[old.index(jpeg[at + 5 + 2 * i])]
        at += 2 + length
    return bytes(jpeg)


def adobe(transform):
    return b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform])


def after_start(jpeg, segment):
    return jpeg[:2] + segment + jpeg[2:]


# --- sampling × size × process -------------------------------------------------------------------------------------
SAMPLING = [
    "1x1", "2x1", "1x2", "2x2", "4x1", "1x4", "4x2", "2x4", "4x4", "3x1", "1x3", "3x3",
    "1x1,2x1,2x1", "1x1,1x2,1x2", "1x1,2x2,2x2", "1x1,1x1,2x2", "1x2,2x1,2x1", "2x1,1x2,1x2", "2x1,1x1,2x1",
    "2x2,2x1,1x2", "2x2,1x2,2x1", "1x1,2x1,1x2", "4x2,2x1,1x2", "2x2,2x2,1x1", "1x2,1x1,1x2", "1x1,4x1,4x1",
    "1x1,1x4,1x4", "4x1,2x1,1x1", "1x4,1x2,1x1", "3x1,1x1,3x1", "1x1,3x1,3x1", "3x2,1x1,1x1", "2x3,1x1,1x1",
    "3x1,2x1,2x1", "2x2,3x1,1x1",
]
SIZES = [
    (1, 1), (2, 3), (3, 2), (4, 5), (5, 4), (7, 7), (8, 8), (9, 6), (10, 17), (15, 16), (16, 15), (17, 9), (24, 25),
    (31, 33), (33, 31),
]
EACH = "0;\n1;\n2;\n"
PROCESSES = {
    "sequential": (["-quality", "85"], None),
    "progressive": (["-quality", "85", "-progressive"], None),
    "restart": (["-quality", "85", "-restart", "1B"], None),
    "scan-each": (["-quality", "85"], EACH),
    "scan-y-cc": (["-quality", "60"], "0;\n1 2;\n"),
    "restart-progressive": (["-quality", "70", "-progressive", "-restart", "2B"], None),
    "arithmetic": (["-quality", "85", "-arithmetic"], None),
}
for sampling, (width, height), (process, (arguments, scans)) in itertools.product(SAMPLING, SIZES, PROCESSES.items()):
    array = picture(width, height)
    add(f"{process}/{sampling.replace(',', '-')}/{width}x{height}", cjpeg(array, *arguments, "-sample", sampling, scans=scans))
for width, height in itertools.product(range(1, 34), range(1, 34)):
    # Every size once or twice, so that each edge of each block and each row of a chroma pair is met.
    if (width * 7 + height) % 3 == 0:
        sampling = ["2x2", "2x1", "1x2", "1x1"][(width + height) % 4]
        add(f"size/{sampling}/{width}x{height}", cjpeg(picture(width, height), "-quality", 90, "-sample", sampling))

# --- processes that are rarer ----------------------------------------------------------------------------------------
for width, height in [(1, 1), (7, 7), (17, 9), (33, 31)]:
    array, size = picture(width, height), f"{width}x{height}"
    for quality in [1, 5, 25, 50, 75, 95, 100]:
        for sampling in ["1x1", "2x2"]:
            add(f"quality/{quality}/{sampling}/{size}", cjpeg(array, "-quality", quality, "-sample", sampling))
            add(f"quality-16/{quality}/{sampling}/{size}", cjpeg(array, "-quality", quality, "-sample", sampling, "-qslots", "0,1,1"))
    for name, arguments in {
        "optimized": ["-optimize"], "grayscale": ["-grayscale"], "grayscale-progressive": ["-grayscale", "-progressive"],
        "arithmetic-progressive": ["-arithmetic", "-progressive"], "arithmetic-restart": ["-arithmetic", "-restart", "3B"],
        "arithmetic-gray": ["-arithmetic", "-grayscale"], "rgb": ["-rgb"], "rgb-progressive": ["-rgb", "-progressive"],
        "float": ["-dct", "float"], "fast": ["-dct", "fast"], "smooth": ["-smooth", "50"],
    }.items():
        add(f"{name}/{size}", cjpeg(array, "-quality", 80, *arguments))
    gray = picture(width, height, 1)
    for sampling in ["1x1", "2x2", "2x1", "1x2", "3x3", "4x4"]:
        add(f"gray-sampled/{sampling}/{size}", cjpeg(gray, "-quality", 80, "-sample", sampling))
        add(f"gray-sampled-progressive/{sampling}/{size}", cjpeg(gray, "-quality", 80, "-progressive", "-sample", sampling))
    for order in itertools.permutations("012"):
        add(f"scan-order/{''.join(order)}/{size}", cjpeg(array, "-quality", 80, scans="".join(f"{c};\n" for c in order)))
    scripts = {
        "spectral": "0,1,2: 0-0, 0, 0;\n0: 1-63, 0, 0;\n1: 1-63, 0, 0;\n2: 1-63, 0, 0;\n",
        "successive": "0,1,2: 0-0, 0, 1;\n0: 1-63, 0, 1;\n1: 1-63, 0, 1;\n2: 1-63, 0, 1;\n0,1,2: 0-0, 1, 0;\n"
        "0: 1-63, 1, 0;\n1: 1-63, 1, 0;\n2: 1-63, 1, 0;\n",
        "dc-only": "0,1,2: 0-0, 0, 0;\n",
        "no-last-bits": "0,1,2: 0-0, 0, 1;\n0: 1-5, 0, 2;\n2: 1-63, 0, 1;\n1: 1-63, 0, 1;\n",
        "dc-each": "0: 0-0, 0, 0;\n1: 0-0, 0, 0;\n2: 0-0, 0, 0;\n0: 1-63, 0, 0;\n1: 1-63, 0, 0;\n2: 1-63, 0, 0;\n",
        "luma-ac-only": "0,1,2: 0-0, 0, 0;\n0: 1-63, 0, 0;\n",
    }
    for name, script in scripts.items():
        for sampling in ["1x1", "2x2"]:
            add(f"script/{name}/{sampling}/{size}", cjpeg(array, "-quality", 80, "-sample", sampling, scans=script))
    for sampling, name in itertools.product(["1x1", "2x2"], ["CMYK", "YCCK"]):
        buffer = io.BytesIO()
        four = Image.fromarray(np.concatenate([array, array[:, :, :1] // 2], -1), "CMYK")
        four.save(buffer, "JPEG", quality=85, subsampling=0 if sampling == "1x1" else 2)
        data = buffer.getvalue()
        if name == "YCCK":
            at = data.find(b"Adobe")
            data = data[: at + 11] + b"\2" + data[at + 12 :] if at > 0 else after_start(data, adobe(2))
        add(f"four/{name}/{sampling}/{size}", data)
        add(f"four/{name}-no-adobe/{sampling}/{size}", without(data, 0xEE))
        add(f"four/{name}-adobe-1/{sampling}/{size}", after_start(without(data, 0xEE), adobe(1)))

# --- what marks the colors -------------------------------------------------------------------------------------------
IDS = {"123": (1, 2, 3), "RGB": tuple(b"RGB"), "012": (0, 1, 2), "rgb": tuple(b"rgb"), "321": (3, 2, 1), "224": (2, 23, 4)}
for (width, height), sampling in itertools.product([(7, 7), (17, 9), (33, 31)], ["1x1", "2x2"]):
    data = cjpeg(picture(width, height), "-quality", 85, "-sample", sampling)
    each = cjpeg(picture(width, height), "-quality", 85, "-sample", sampling, scans=EACH)
    for jfif, transform, (name, ids), (process, jpeg) in itertools.product(
        [False, True], [None, 0, 1, 2, 9], IDS.items(), [("interleaved", data), ("each", each)]
    ):
        jpeg = with_ids(jpeg if jfif else without(jpeg, 0xE0), ids)
        if transform is not None:
            jpeg = jpeg[:2] + adobe(transform) + jpeg[2:] if not jfif else jpeg[:20] + adobe(transform) + jpeg[20:]
        kind = f"{'jfif' if jfif else 'bare'}-adobe{'' if transform is None else transform}-{name}-{process}"
        add(f"marked/{kind}/{sampling}/{width}x{height}", jpeg)

# --- what surrounds the picture --------------------------------------------------------------------------------------
for width, height in [(7, 7), (33, 31)]:
    data, size = cjpeg(picture(width, height), "-quality", 85), f"{width}x{height}"
    add(f"around/no-huffman-tables/{size}", without(data, 0xC4))
    add(f"around/no-huffman-tables-gray/{size}", without(cjpeg(picture(width, height), "-grayscale"), 0xC4))
    add(f"around/comment/{size}", after_start(data, b"\xff\xfe\0\x07hello"))
    add(f"around/trailing-bytes/{size}", data + b"trailing" * 9)
    add(f"around/trailing-zeros/{size}", data + bytes(40))
    add(f"around/second-picture/{size}", data + data)
    add(f"around/fill-bytes/{size}", data[:2] + b"\xff\xff\xff" + data[2:])
    add(f"around/junk-between-segments/{size}", data[:2] + b"\0\1\2" + data[2:])
    thumbnail = cjpeg(picture(5, 4), "-quality", 50)
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0" + thumbnail
    add(f"around/exif-rotated-with-thumbnail/{size}", after_start(data, b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif))
    add(f"around/no-end/{size}", data[:-2])
    add(f"around/two-ends/{size}", data + b"\xff\xd9")
    add(f"around/icc/{size}", after_start(data, b"\xff\xe2" + struct.pack(">H", 18) + b"ICC_PROFILE\0\1\1\0\0"))
    end = next(end for marker, _, end in segments(data) if marker == 0xDA)
    add(f"around/junk-before-end/{size}", data[:-2] + b"\x12\x34\x56" + data[-2:])
    add(f"around/zeros-before-end/{size}", data[:-2] + bytes(3) + data[-2:])
    add(f"around/header-alone/{size}", data[:end])
    add(f"around/header-and-end/{size}", data[:end] + b"\xff\xd9")
    restart = cjpeg(picture(width, height), "-quality", 85, "-restart", "1B")
    add(f"around/extended/{size}", data.replace(b"\xff\xc0", b"\xff\xc1", 1))
    add(f"around/restart-junk-before-end/{size}", restart[:-2] + b"\x12\x34\x56" + restart[-2:])
    add(f"around/restart-marker-before-end/{size}", data[:-2] + b"\xff\xd0" + data[-2:])
    add(f"around/dnl/{size}", data[:-2] + b"\xff\xdc\0\4" + struct.pack(">H", height) + data[-2:])

# --- damage: whatever is not whole must be refused, so what Pillow reads of these is not compared --------------------
for name, arguments, scans in [
    ("sequential", [], None), ("progressive", ["-progressive"], None), ("restart", ["-restart", "1B"], None),
    ("scan-each", [], EACH), ("arithmetic", ["-arithmetic"], None), ("gray", ["-grayscale"], None),
]:
    data = cjpeg(picture(33, 31), "-quality", 85, *arguments, scans=scans)
    end = next(end for marker, _, end in segments(data) if marker == 0xDA)
    for part in [1, 5, 9]:
        cut = end + (len(data) - end) * part // 10
        add(f"damaged/cut-{part}/{name}", data[:cut])
        add(f"damaged/cut-{part}-with-end/{name}", data[:cut] + b"\xff\xd9")
        add(f"damaged/zeros-{part}-to-end/{name}", data[:cut] + bytes(len(data) - cut - 2) + b"\xff\xd9")


def pillow(data):
    try:
        image = Image.open(io.BytesIO(data))
        if image.format not in ("JPEG", "MPO"):
            return "refused"
        return hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()[:32]
    except Exception:
        return "refused"


def main():
    if "--keep" in sys.argv:
        folder = sys.argv[sys.argv.index("--keep") + 1]
        os.makedirs(folder, exist_ok=True)
        for name, data in FILES.items():
            with open(os.path.join(folder, name.replace("/", "_") + ".jpg"), "wb") as file:
                file.write(data)
    lines = []
    for name, data in FILES.items():
        lines.append(f"{len(data)} {pillow(data)} {name}\n")
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "table.txt"), "w") as file:
        file.writelines(lines)
    with open(os.path.join(here, "table.gz"), "wb") as file:
        file.write(gzip.compress(b"".join(FILES.values()), 9, mtime=0))
    refused = sum(" refused " in line for line in lines)
    print(f"{len(lines)} files, {refused} of them refused by Pillow")


main()
