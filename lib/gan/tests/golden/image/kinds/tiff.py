"""TIFFs: kinds of pixels, compressions, predictors, byte and bit orders, planes, tiles, orientations, BigTIFF, damage."""

import io
import struct
import zlib

import numpy as np
from common import SIZES, formula, packed, values
from PIL import Image

# name: (photometric, bits, samples, extra samples, sample format)
KINDS = {
    "white1": (0, 1, 1, (), 1),
    "white2": (0, 2, 1, (), 1),
    "white4": (0, 4, 1, (), 1),
    "white8": (0, 8, 1, (), 1),
    "white16": (0, 16, 1, (), 1),
    "black1": (1, 1, 1, (), 1),
    "black2": (1, 2, 1, (), 1),
    "black4": (1, 4, 1, (), 1),
    "black8": (1, 8, 1, (), 1),
    "black12": (1, 12, 1, (), 1),
    "black16": (1, 16, 1, (), 1),
    "black32": (1, 32, 1, (), 1),
    "int8": (1, 8, 1, (), 2),
    "int16": (1, 16, 1, (), 2),
    "int32": (1, 32, 1, (), 2),
    "float32": (1, 32, 1, (), 3),
    "whitefloat32": (0, 32, 1, (), 3),
    "float16": (1, 16, 1, (), 3),
    "float64": (1, 64, 1, (), 3),
    "greyx": (1, 8, 2, (0,), 1),
    "greypre": (1, 8, 2, (1,), 1),
    "greya": (1, 8, 2, (2,), 1),
    "greya16": (1, 16, 2, (2,), 1),
    "rgb": (2, 8, 3, (), 1),
    "rgb4": (2, 8, 4, (), 1),
    "rgbx": (2, 8, 4, (0,), 1),
    "rgbpre": (2, 8, 4, (1,), 1),
    "rgba": (2, 8, 4, (2,), 1),
    "rgbcorel": (2, 8, 4, (999,), 1),
    "rgbxx": (2, 8, 5, (0, 0), 1),
    "rgbprex": (2, 8, 5, (1, 0), 1),
    "rgbax": (2, 8, 5, (2, 0), 1),
    "rgbxxx": (2, 8, 6, (0, 0, 0), 1),
    "rgbaxx": (2, 8, 6, (2, 0, 0), 1),
    "rgb16": (2, 16, 3, (), 1),
    "rgba16": (2, 16, 4, (2,), 1),
    "rgbx16": (2, 16, 4, (0,), 1),
    "rgbpre16": (2, 16, 4, (1,), 1),
    "rgbfloat": (2, 32, 3, (), 3),
    "palette1": (3, 1, 1, (), 1),
    "palette2": (3, 2, 1, (), 1),
    "palette4": (3, 4, 1, (), 1),
    "palette8": (3, 8, 1, (), 1),
    "palettex": (3, 8, 2, (0,), 1),
    "palettea": (3, 8, 2, (2,), 1),
    "cmyk": (5, 8, 4, (), 1),
    "cmykx": (5, 8, 5, (0,), 1),
    "cmykxx": (5, 8, 6, (0, 0), 1),
    "cmyk16": (5, 16, 4, (), 1),
    "ycbcr": (6, 8, 3, (), 1),
    "lab": (8, 8, 3, (), 1),
    "mask": (4, 1, 1, (), 1),
    "cfa": (32803, 8, 1, (), 1),
}
DEPTH = {"black12": 12}


def samples(kind, w, h):
    """`[h, w, samples]` in the file's type, little-endian."""
    photo, bits, n, extra, fmt = KINDS[kind]
    if photo in (2, 5, 6, 8) and bits == 8:
        v = formula(w, h, 3)
        v = np.concatenate([v, v[::-1]], 2)[:, :, :n]
        if photo == 6:
            v[:, :, 1:] = v[:, :, 1:] // 2 + 64
        return v
    if fmt == 3:
        v = values(w, h, n, 8).astype(np.float64) * 1.3 - 30.25
        v[0, 0], v[-1, -1] = 1e9, -0.5
        return v.astype({16: "<f2", 32: "<f4", 64: "<f8"}[bits])
    if fmt == 2 or bits == 32:
        v = values(w, h, n, 9).astype(np.int64) - (100 if fmt == 2 else 0)
        v[0, 0] = (1 << (bits - 1)) - 1 if fmt == 2 else (1 << 32) - 5
        return v.astype({(8, 2): "i1", (16, 2): "<i2", (32, 2): "<i4", (32, 1): "<u4"}[bits, fmt])
    return values(w, h, n, bits).astype({16: "<u2", 12: "<u2"}.get(bits, "u1"))


def to_bytes(part, bits, big, reverse=False):
    """Rows of `[h, w, n]` samples as bytes."""
    flat = part.reshape(part.shape[0], -1)
    if bits < 8 or bits == 12:
        return packed(flat, bits, reverse)
    if reverse and bits == 8:
        return packed(flat, 8, True)
    flat = flat.astype(flat.dtype.newbyteorder(">" if big else "<"))
    return [row.tobytes() for row in flat]


def differences(part, bits):
    """Predictor 2."""
    out = part.copy()
    with np.errstate(over="ignore"):
        out[:, 1:] = part[:, 1:] - part[:, :-1]
    return out


def planes_of_floats(part):
    """Predictor 3."""
    h, w, n = part.shape
    rows = []
    for row in part.astype("<f4").reshape(h, -1):
        data = np.frombuffer(row.astype(">f4").tobytes(), np.uint8).reshape(-1, 4).T.reshape(-1).copy()
        out = data.copy()
        out[n:] = data[n:] - data[:-n]
        rows.append(out.tobytes())
    return rows


def strip_of(image, **options):
    """The packed bytes of the only strip of what Pillow writes."""
    out = io.BytesIO()
    image.save(out, "TIFF", strip_size=1 << 30, **options)
    with Image.open(out) as tif:
        (offset,), (length,) = tif.tag_v2[273], tif.tag_v2[279]
        tables = tif.tag_v2.get(347)
    return out.getvalue()[offset : offset + length], tables


def pack_bits(data):
    return b"".join(bytes([len(data[i : i + 128]) - 1]) + data[i : i + 128] if i % 3 else b"\x80" + bytes([len(data[i : i + 128]) - 1]) + data[i : i + 128] for i in range(0, len(data), 128))


def runs(data):
    out, i = b"", 0
    while i < len(data):
        n = 1
        while i + n < len(data) and n < 128 and data[i + n] == data[i]:
            n += 1
        out += bytes([257 - n, data[i]]) if n > 1 else bytes([0, data[i]])
        i += n
    return out


def compress(data, code):
    if code == 1:
        return data
    if code in (8, 32946):
        return zlib.compress(data)
    if code == 32773:
        return runs(data) if len(data) % 2 else pack_bits(data)
    name = {5: "tiff_lzw", 34925: "lzma", 50000: "zstd"}[code]
    return strip_of(Image.frombytes("L", (len(data), 1), data), compression=name)[0]


def flip(data):
    return bytes(int(format(b, "08b")[::-1], 2) for b in data)


def file(entries, chunks, offsets_tag, big=False, bigtiff=False, entry_types=None, version=None, gap=b""):
    """A file of these chunks and tags; `entries` is tag: (type, values) or tag: bytes."""
    order = ">" if big else "<"
    head_size = 16 if bigtiff else 8
    body, offsets = gap, []
    for chunk in chunks:
        offsets.append(head_size + len(body))
        body += chunk + bytes(len(chunk) % 2)
    entries = dict(entries)
    if offsets_tag:
        entries[offsets_tag] = (16 if bigtiff else 4, offsets)
    kinds = {1: "B", 2: "B", 3: "H", 4: "I", 5: "II", 7: "B", 16: "Q"}
    count, inline = ("Q", 8) if bigtiff else ("H", 4)
    at = head_size + len(body)
    size = struct.calcsize(order + count) + len(entries) * (20 if bigtiff else 12) + (8 if bigtiff else 4)
    extra, table = b"", b""
    for tag in sorted(entries):
        kind, numbers = entries[tag]
        if kind == 5:
            data = b"".join(struct.pack(order + "II", *pair) for pair in numbers)
        elif isinstance(numbers, bytes):
            data = numbers
        else:
            data = struct.pack(order + kinds[kind] * len(numbers), *numbers)
        table += struct.pack(order + ("HHQ" if bigtiff else "HHI"), tag, kind, len(numbers))
        if len(data) <= inline:
            table += data + bytes(inline - len(data))
        else:
            table += struct.pack(order + ("Q" if bigtiff else "I"), at + size + len(extra))
            extra += data + bytes(len(data) % 2)
    letters = b"MM" if big else b"II"
    if version is None:
        version = struct.pack(order + "H", 43 if bigtiff else 42)
    head = letters + version + (struct.pack(order + "HHQ", 8, 0, at) if bigtiff else struct.pack(order + "I", at))
    ifd = struct.pack(order + count, len(entries)) + table + bytes(8 if bigtiff else 4)
    return head + body + ifd + extra


def color_map(bits):
    n = 1 << bits
    return [(i * k * 257 + 4000 * k) % 65536 for k in (3, 7, 13) for i in range(n)]


def image(kind, w, h, code=1, big=False, planar=1, tile=None, rows=None, predictor=None, fill=None, turn=None, bigtiff=False, pack=compress, tags=None, **more):
    photo, bits, n, extra, fmt = KINDS[kind]
    v = samples(kind, w, h)
    pieces = []
    for plane in range(n) if planar == 2 else [None]:
        part = v if plane is None else v[:, :, plane : plane + 1]
        if tile:
            tw, th = tile
            grown = np.zeros((-(-h // th) * th, -(-w // tw) * tw, part.shape[2]), part.dtype)
            grown[:h, :w] = part
            pieces += [grown[y : y + th, x : x + tw] for y in range(0, h, th) for x in range(0, w, tw)]
        else:
            step = rows or h
            pieces += [part[y : y + step] for y in range(0, h, step)]
    chunks = []
    for piece in pieces:
        if predictor == 3:
            data = b"".join(planes_of_floats(piece))
        else:
            if predictor == 2:
                piece = differences(piece, bits)
            data = b"".join(to_bytes(piece, bits, big, reverse=fill == 2 and code == 1))
        data = pack(data, code)
        chunks.append(flip(data) if fill == 2 and code != 1 else data)
    entries = {256: (3, [w]), 257: (4, [h]), 258: (3, [bits] * n), 259: (3, [code]), 262: (3, [photo]), 277: (3, [n])}
    entries[325 if tile else 279] = (4, [len(c) for c in chunks])
    if tile:
        entries[322], entries[323] = (3, [tile[0]]), (3, [tile[1]])
    else:
        entries[278] = (3, [rows or h])
    if planar == 2:
        entries[284] = (3, [2])
    if extra:
        entries[338] = (3, list(extra))
    if fmt != 1:
        entries[339] = (3, [fmt] * n)
    if predictor:
        entries[317] = (3, [predictor])
    if fill:
        entries[266] = (3, [fill])
    if turn is not None:
        entries[274] = (3, [turn])
    if photo == 3:
        entries[320] = (3, color_map(bits))
    if photo == 6:
        entries[530] = (3, [1, 1])
    for tag, value in (tags or {}).items():
        if value is None:
            entries.pop(tag, None)
        else:
            entries[tag] = value
    return file(entries, chunks, 324 if tile else 273, big, bigtiff, **more)


CODES = {1: "raw", 5: "lzw", 8: "deflate", 32946: "olddeflate", 32773: "packbits", 34925: "lzma", 50000: "zstd"}


def files():
    for kind in KINDS:
        for big in (False, True):
            for code, name in CODES.items():
                tag = f"{kind}-{name}-{'be' if big else 'le'}"
                yield f"tiff-{tag}.tif", image(kind, 17, 11, code, big, rows=4)
                if code in (1, 5, 8):
                    yield f"tiff-{tag}-planar.tif", image(kind, 17, 11, code, big, planar=2, rows=5)
                    yield f"tiff-{tag}-tiles.tif", image(kind, 35, 19, code, big, tile=(16, 16))
                if code in (5, 8, 34925, 50000, 32773):
                    yield f"tiff-{tag}-p2.tif", image(kind, 17, 11, code, big, rows=4, predictor=2)
                if code in (5, 8) and KINDS[kind][4] == 3 and KINDS[kind][1] == 32:
                    yield f"tiff-{tag}-p3.tif", image(kind, 17, 11, code, big, rows=4, predictor=3)
            yield f"tiff-{kind}-fill-{big}.tif", image(kind, 17, 11, 1, big, fill=2)
            yield f"tiff-{kind}-fill-lzw-{big}.tif", image(kind, 17, 11, 5, big, fill=2)
            yield f"tiff-{kind}-fill-deflate-{big}.tif", image(kind, 17, 11, 8, big, fill=2)
            yield f"tiff-{kind}-big-{big}.tif", image(kind, 17, 11, 8, big, bigtiff=True)
            yield f"tiff-{kind}-big-raw-{big}.tif", image(kind, 17, 11, 1, big, bigtiff=True, rows=3)
        for tile in ((16, 16), (32, 16), (48, 32)):
            yield f"tiff-{kind}-planar-tiles-{tile[0]}.tif", image(kind, 35, 19, 5, planar=2, tile=tile)
            yield f"tiff-{kind}-planar-raw-tiles-{tile[0]}.tif", image(kind, 35, 19, 1, planar=2, tile=tile)
            yield f"tiff-{kind}-p2-tiles-{tile[0]}.tif", image(kind, 35, 19, 8, tile=tile, predictor=2)
    for kind in ("black1", "white4", "black8", "black16", "rgb", "rgba16", "palette8", "cmyk"):
        for w, h in SIZES:
            yield f"tiff-size-{kind}-{w}x{h}.tif", image(kind, w, h, rows=2)
            yield f"tiff-size-{kind}-lzw-{w}x{h}.tif", image(kind, w, h, 5, rows=3)
            yield f"tiff-size-{kind}-tiles-{w}x{h}.tif", image(kind, w, h, 8, tile=(16, 16))
    for kind in ("black1", "black8", "black16", "rgb", "palette4", "float32"):
        for turn in range(10):
            yield f"tiff-turn-{turn}-{kind}.tif", image(kind, 9, 5, turn=turn)
            yield f"tiff-turn-{turn}-{kind}-lzw.tif", image(kind, 9, 5, 5, turn=turn, big=True)
    for text in (b'<x tiff:Orientation="6"/>', b"<tiff:Orientation>3</tiff:Orientation>", b'<x tiff:Orientation="x"/>', b"none"):
        name = sum(text)
        yield f"tiff-xmp-{name}.tif", image("rgb", 9, 5, tags={700: (1, text)})
        yield f"tiff-xmp-turn-{name}.tif", image("rgb", 9, 5, turn=1, tags={700: (7, text)})
    yield from oddities()
    yield from subsampled()
    yield from fax()
    yield from jpegs()
    yield from damaged()


def oddities():
    for name, tags in {
        "no-photometric": {262: None},
        "no-compression": {259: None},
        "no-bits": {258: None},
        "no-samples": {277: None},
        "no-rows": {278: None},
        "no-lengths": {279: None},
        "no-width": {256: None},
        "no-height": {257: None},
        "one-bits": {258: (3, [8])},
        "more-bits": {258: (3, [8] * 9)},
        "mixed-bits": {258: (3, [8, 8, 4])},
        "bits-24": {258: (3, [24] * 3)},
        "samples-7": {277: (3, [7])},
        "samples-0": {277: (3, [0])},
        "rows-0": {278: (3, [0])},
        "rows-huge": {278: (4, [0xFFFFFFFF])},
        "rows-more": {278: (4, [99])},
        "long-width": {256: (4, [17])},
        "byte-width": {256: (1, [17])},
        "planar-0": {284: (3, [0])},
        "planar-3": {284: (3, [3])},
        "fill-0": {266: (3, [0])},
        "fill-3": {266: (3, [3])},
        "format-4": {339: (3, [4])},
        "formats": {339: (3, [1, 1, 1])},
        "formats-mixed": {339: (3, [1, 2, 1])},
        "photometric-9": {262: (3, [9])},
        "photometric-99": {262: (3, [99])},
        "compression-99": {259: (3, [99])},
        "compression-6": {259: (3, [6])},
        "compression-50001": {259: (3, [50001])},
        "predictor-2": {317: (3, [2])},
        "extra-on-rgb": {338: (3, [2])},
        "icc": {34675: (7, b"profile")},
        "hdphoto": {0xBC01: (3, [1])},
        "resolution": {282: (5, [(72, 1)]), 283: (5, [(72, 1)]), 296: (3, [2])},
        "zero-width": {256: (3, [0])},
        "wide": {256: (4, [70000])},
        "huge": {256: (4, [60000]), 257: (4, [60000])},
        "larger": {257: (4, [12])},
    }.items():
        for code in (1, 8):
            if 259 in tags and code == 8:
                continue
            yield f"tiff-odd-{name}-{code}.tif", image("rgb", 17, 11, code, tags=tags)
    yield "tiff-version-mm.tif", image("rgb", 7, 5, big=True, version=b"\x2a\0")
    yield "tiff-version-ii.tif", image("rgb", 7, 5, version=b"\0\x2a")
    yield "tiff-version-mm-lzw.tif", image("rgb", 7, 5, 5, big=True, version=b"\x2a\0")
    yield "tiff-version-41.tif", image("rgb", 7, 5, version=b"\x29\0")
    yield "tiff-gap.tif", image("rgb", 7, 5, gap=bytes(10))
    for n in (3, 200, 256 * 3, 300 * 3):
        yield f"tiff-map-{n}.tif", image("palette8", 9, 7, tags={320: (3, (color_map(8) * 3)[:n])})
    yield "tiff-map-none.tif", image("palette8", 9, 7, tags={320: None})
    yield "tiff-map-bytes.tif", image("palette8", 9, 7, tags={320: (3, [v >> 8 for v in color_map(8)])})
    # The second image is another.
    one = image("rgb", 7, 5)
    two = bytearray(one)
    yield "tiff-pages.tif", bytes(two)
    out = io.BytesIO()
    Image.fromarray(formula(9, 7, 3)).save(out, "TIFF", save_all=True, append_images=[Image.fromarray(formula(5, 6, 5))], compression="tiff_lzw")
    yield "tiff-two-pages.tif", out.getvalue()


def subsampled():
    """YCbCr whose chroma is shared by pixels, packed as libtiff packs it."""
    for across in (1, 2, 4):
        for down in (1, 2, 4):
            for w, h in ((16, 16), (17, 9), (5, 3)):
                for code in (1, 5, 8, 32773):
                    for tile in (None, (16, 16)):
                        yield f"tiff-shared-{across}x{down}-{w}x{h}-{code}-{'t' if tile else 's'}.tif", shared(w, h, across, down, code, tile)
    half = [(299, 1000), (587, 1000), (114, 1000)]
    levels = [(15, 1), (235, 1), (128, 1), (240, 1), (128, 1), (240, 1)]
    bt709 = [(2125, 10000), (7154, 10000), (721, 10000)]
    for name, tags in {"601": {529: (5, half)}, "709": {529: (5, bt709)}, "levels": {532: (5, levels)}, "both": {529: (5, bt709), 532: (5, levels)}, "none": {530: None}}.items():
        for code in (1, 8):
            yield f"tiff-shared-{name}-{code}.tif", shared(16, 12, 1 if code == 1 else 2, 1 if code == 1 else 2, code, None, tags)
            yield f"tiff-single-{name}-{code}.tif", shared(16, 12, 1, 1, code, None, tags)
    yield "tiff-shared-3x1.tif", shared(9, 9, 3, 1, 8, None)
    yield "tiff-shared-p2.tif", shared(8, 8, 1, 1, 8, None, {317: (3, [2])})


def shared(w, h, across, down, code, tile, tags=None):
    v = samples("ycbcr", w, h)
    chunks = []
    tw, th = tile or (w, min(h, 8))
    for y in range(0, h, th):
        for x in range(0, w, tw):
            rows = th if tile else min(th, h - y)
            part = np.zeros((-(-rows // down) * down, -(-tw // across) * across, 3), np.uint8)
            have = v[y : y + rows, x : x + tw]
            part[: have.shape[0], : have.shape[1]] = have
            data = bytearray()
            for by in range(0, part.shape[0], down):
                for bx in range(0, part.shape[1], across):
                    block = part[by : by + down, bx : bx + across]
                    data += block[:, :, 0].tobytes() + block[0, 0, 1:].tobytes()
            chunks.append(compress(bytes(data), code))
    entries = {256: (3, [w]), 257: (3, [h]), 258: (3, [8] * 3), 259: (3, [code]), 262: (3, [6]), 277: (3, [3]), 530: (3, [across, down])}
    entries[325 if tile else 279] = (4, [len(c) for c in chunks])
    if tile:
        entries[322], entries[323] = (3, [tw]), (3, [th])
    else:
        entries[278] = (3, [th])
    for tag, value in (tags or {}).items():
        entries[tag] = value
        if value is None:
            del entries[tag]
    return file(entries, chunks, 324 if tile else 273)


def fax():
    names = {2: "tiff_ccitt", 3: "group3", 4: "group4"}
    for w, h in SIZES + [(70, 9), (200, 30), (3000, 3)]:
        texture = values(w, h, 1, 1)[:, :, 0]
        large = (values(w, h, 1, 8)[:, :, 0] > 90).astype(np.uint8)
        sparse = np.zeros((h, w), np.uint8)
        sparse[:: 3, w // 2 :] = 1
        for look, v in (("texture", texture), ("large", large), ("sparse", sparse), ("white", texture * 0), ("black", texture * 0 + 1)):
            bits = Image.fromarray(v.astype(bool))
            for code, name in names.items():
                for two in (0, 1) if code == 3 else (0,):
                    out = io.BytesIO()
                    try:
                        bits.save(out, "TIFF", compression=name, tiffinfo={292: two} if code == 3 else {})
                    except Exception:
                        continue
                    yield f"tiff-fax-{code}-{two}-{look}-{w}x{h}.tif", out.getvalue()
    # Both photometric interpretations and bit orders, in strips.
    v = (values(40, 12, 1, 8)[:, :, 0] > 90).astype(np.uint8)
    for code, name in names.items():
        for photo in (0, 1):
            for fill in (None, 2):
                chunks = [strip_of(Image.fromarray(v[y : y + 5].astype(bool)), compression=name, tiffinfo={262: 1})[0] for y in (0, 5, 10)]
                chunks = [flip(c) for c in chunks] if fill else chunks
                entries = {256: (3, [40]), 257: (3, [12]), 258: (3, [1]), 259: (3, [code]), 262: (3, [photo]), 277: (3, [1]), 278: (3, [5]), 279: (4, [len(c) for c in chunks])}
                entries.update({266: (3, [2])} if fill else {})
                yield f"tiff-fax-strips-{code}-{photo}-{fill}.tif", file(entries, chunks, 273)
    whole = strip_of(Image.fromarray(v.astype(bool)), compression="group4")[0]
    entries = {256: (3, [40]), 257: (3, [12]), 258: (3, [1]), 259: (3, [4]), 262: (3, [0]), 277: (3, [1]), 278: (3, [12])}
    for cut in (1, 4, 10):
        data = whole[:-cut]
        yield f"tiff-fax-cut-{cut}.tif", file({**entries, 279: (4, [len(data)])}, [data], 273)
    broken = bytearray(whole)
    broken[len(whole) // 2] ^= 0x55
    yield "tiff-fax-broken.tif", file({**entries, 279: (4, [len(whole)])}, [bytes(broken)], 273)


def jpegs():
    """The names begin with `tiffjpeg`: their pixels are a JPEG decoder's."""
    for w, h in ((16, 16), (17, 9), (40, 33)):
        rgb = Image.fromarray(formula(w, h, 3))
        for quality in (30, 75, 95):
            for name, picture in (("grey", rgb.convert("L")), ("rgb", rgb), ("ycbcr", rgb.convert("YCbCr")), ("cmyk", rgb.convert("CMYK")), ("rgba", rgb.convert("RGBA"))):
                for strip in (1, 1 << 30):
                    out = io.BytesIO()
                    try:
                        picture.save(out, "TIFF", compression="jpeg", quality=quality, strip_size=strip)
                    except Exception:
                        continue
                    yield f"tiffjpeg-{name}-{w}x{h}-{quality}-{min(strip, 2)}.tif", out.getvalue()


def damaged():
    for kind in ("rgb", "palette8", "black1"):
        for code, name in CODES.items():
            whole = image(kind, 17, 11, code, rows=4)
            for cut in (1, 9, 40, len(whole) // 2, len(whole) - 9):
                yield f"tiff-cut-{kind}-{name}-{cut}.tif", whole[: len(whole) - cut]
            for part in (1, 3):
                def pack(data, code, part=part):
                    data = compress(data, code)
                    return data[: len(data) - part]

                yield f"tiff-short-{kind}-{name}-{part}.tif", image(kind, 17, 11, code, rows=4, pack=pack)
            if code != 1:
                for at in (2, 12):
                    def spoil(data, code, at=at):
                        data = bytearray(compress(data, code))
                        data[min(at, len(data) - 1)] ^= 0x3C
                        return bytes(data)

                    yield f"tiff-broken-{kind}-{name}-{at}.tif", image(kind, 17, 11, code, rows=4, pack=spoil)
                yield f"tiff-more-{kind}-{name}.tif", image(kind, 17, 11, code, rows=4, pack=lambda d, c: compress(d + d, c))
                yield f"tiff-less-{kind}-{name}.tif", image(kind, 17, 11, code, rows=4, pack=lambda d, c: compress(d[:-1], c))
    # libtiff's own start of the file, with the directory last: cut within it.
    whole = image("rgb", 9, 7)
    for cut in (2, 30, 100):
        yield f"tiff-cut-directory-{cut}.tif", whole[:-cut]
