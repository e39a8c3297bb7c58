"""PNGs: color types, depths, interlacing, filters, chunks, damage."""

import struct
import zlib

import numpy as np
from common import SIZES, packed, values

SIGNATURE = b"\x89PNG\r\n\x1a\n"
KINDS = [(0, d) for d in (1, 2, 4, 8, 16)] + [(3, d) for d in (1, 2, 4, 8)] + [(c, d) for c in (2, 4, 6) for d in (8, 16)]
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def chunk(kind, data, crc=None):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) if crc is None else crc)


def ihdr(w, h, depth, color, interlaced=0, method=0, filters=0):
    return struct.pack(">IIBBBBB", w, h, depth, color, method, filters, interlaced)


def filtered(rows, bpp, first=0):
    """Filters 0 to 4 in turn."""
    out, above = b"", bytes(len(rows[0])) if rows else b""
    for i, row in enumerate(rows):
        kind = (i + first) % 5
        line = bytearray([kind])
        for x, v in enumerate(row):
            a = row[x - bpp] if x >= bpp else 0
            b = above[x]
            c = above[x - bpp] if x >= bpp else 0
            p = a + b - c
            d = (abs(p - a), abs(p - b), abs(p - c))
            paeth = a if d[0] <= d[1] and d[0] <= d[2] else b if d[1] <= d[2] else c
            line.append((v - (0, a, b, (a + b) // 2, paeth)[kind]) & 255)
        out += bytes(line)
        above = row
    return out


def raw(v, depth, interlaced, first=0):
    """Filtered rows of `[h, w, channels]` values."""
    h, w, n = v.shape
    bpp = max(1, n * depth // 8)

    def rows(part):
        flat = part.reshape(part.shape[0], -1)
        if depth == 16:
            return [row.astype(">u2").tobytes() for row in flat]
        return packed(flat, depth)

    if not interlaced:
        return filtered(rows(v), bpp, first)
    parts = [v[y::dy, x::dx] for x, y, dx, dy in PASSES]
    return b"".join(filtered(rows(part), bpp, first) for part in parts if part.size)


def palette(n):
    return bytes((i * k + 40 * k) % 256 for i in range(n) for k in (3, 7, 13))


def image(w, h, color, depth, interlaced=0, before=b"", after=b"", end=True, colors=None, level=6, first=0, a=3):
    """A whole file."""
    v = values(w, h, CHANNELS[color], depth, a)
    data = SIGNATURE + chunk(b"IHDR", ihdr(w, h, depth, color, interlaced))
    if color == 3:
        data += chunk(b"PLTE", palette(colors or 1 << depth))
    data += before + chunk(b"IDAT", zlib.compress(raw(v, depth, interlaced, first), level)) + after
    return data + (chunk(b"IEND", b"") if end else b"")


def exif(turn):
    return b"MM\0\x2a\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 0x112, 3, 1, turn, 0) + bytes(4)


def transparency(color, depth):
    most = (1 << depth) - 1
    return {0: struct.pack(">H", most), 2: struct.pack(">HHH", 0, most // 2, most), 3: bytes(range(0, 1 << min(depth, 8), 1))[:200]}.get(color)


def files():
    for color, depth in KINDS:
        for interlaced in (0, 1):
            for w, h in SIZES:
                yield f"png-{color}-{depth}-{interlaced}-{w}x{h}.png", image(w, h, color, depth, interlaced, first=w)
    # Sizes one after the other, where passes are empty.
    for color, depth in ((0, 1), (2, 8), (3, 2)):
        for w in range(1, 10):
            for h in range(1, 10):
                yield f"png-passes-{color}-{depth}-{w}x{h}.png", image(w, h, color, depth, 1)
    yield from chunks()
    yield from palettes()
    yield from damaged()
    yield from animated()


def chunks():
    for color, depth in KINDS:
        most = min(depth, 8) if color == 3 else depth
        extra = {
            "gama": chunk(b"gAMA", struct.pack(">I", 45455)),
            "gama1": chunk(b"gAMA", struct.pack(">I", 100000)),
            "chrm": chunk(b"cHRM", struct.pack(">8I", *range(30000, 30800, 100))),
            "srgb": chunk(b"sRGB", b"\1"),
            "iccp": chunk(b"iCCP", b"x\0\0" + zlib.compress(b"profile" * 20)),
            "iccpbroken": chunk(b"iCCP", b"x\0\0garbage"),
            "sbit": chunk(b"sBIT", bytes([max(1, most - 1)] * (3 if color in (2, 3) else CHANNELS[color]))),
            "bkgd": chunk(b"bKGD", b"\0" if color == 3 else struct.pack(">H", 1) * (3 if color in (2, 6) else 1)),
            "phys": chunk(b"pHYs", struct.pack(">IIB", 2835, 2835, 1)),
            "exif6": chunk(b"eXIf", exif(6)),
            "exifbroken": chunk(b"eXIf", b"MM"),
            "text": chunk(b"tEXt", b"Title\0name") + chunk(b"zTXt", b"a\0\0" + zlib.compress(b"b" * 90)) + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation=\"6\"/>"),
            "time": chunk(b"tIME", b"\x07\xe0\1\1\1\1\1"),
            "private": chunk(b"prVt", b"x") + chunk(b"vpAg", bytes(9)) + chunk(b"CgBx", b"y"),
        }
        t = transparency(color, depth)
        if t is not None:
            extra["trns"] = chunk(b"tRNS", t)
            extra["trnsgama"] = extra["trns"] + extra["gama"]
        if color in (2, 6):
            extra["plte"] = chunk(b"PLTE", palette(5))
        for name, before in extra.items():
            yield f"png-chunk-{color}-{depth}-{name}.png", image(11, 6, color, depth, 0, before)
            if depth == 8:
                yield f"png-chunk-{color}-{depth}-{name}-after.png", image(11, 6, color, depth, 1, after=before)
    for name, body in {"gAMA": b"\0", "cHRM": b"\0" * 31, "sRGB": b"", "pHYs": b"\0" * 8, "tRNS": b"\0", "acTL": b"\0", "zTXt": b"a\0\1bcd", "iCCP": b"a\0\1bcd"}.items():
        yield f"png-short-{name}.png", image(5, 4, 0, 8, 0, chunk(name.encode(), body))
        yield f"png-short-{name}-after.png", image(5, 4, 0, 8, 0, after=chunk(name.encode(), body))
    yield "png-trns-empty-palette.png", image(5, 4, 3, 8, 0, chunk(b"tRNS", b""))
    yield "png-trns-on-alpha.png", image(5, 4, 6, 8, 0, chunk(b"tRNS", bytes(6)))
    yield "png-two-gamas.png", image(5, 4, 2, 8, 0, chunk(b"gAMA", bytes(4)) * 2)


def palettes():
    for depth in (1, 2, 4, 8):
        for n in sorted({1, 2, 3, 5, 16, 100, 255, 256}):
            yield f"png-palette-{depth}-{n}.png", image(13, 9, 3, depth, colors=n)
    v = zlib.compress(raw(values(6, 5, 1, 4), 4, 0))
    for name, plte in {"none": b"", "empty": chunk(b"PLTE", b""), "odd": chunk(b"PLTE", palette(6)[:-2]), "257": chunk(b"PLTE", palette(257)), "300": chunk(b"PLTE", palette(300)), "two": chunk(b"PLTE", palette(4)) + chunk(b"PLTE", palette(9)[::-1])}.items():
        yield f"png-palette-{name}.png", SIGNATURE + chunk(b"IHDR", ihdr(6, 5, 4, 3)) + plte + chunk(b"IDAT", v) + chunk(b"IEND", b"")
    yield "png-palette-late.png", SIGNATURE + chunk(b"IHDR", ihdr(6, 5, 4, 3)) + chunk(b"IDAT", v) + chunk(b"PLTE", palette(9)) + chunk(b"IEND", b"")


def damaged():
    for color, depth in ((2, 8), (0, 8), (3, 4), (6, 16)):
        for interlaced in (0, 1):
            tag = f"{color}-{depth}-{interlaced}"
            whole = image(12, 10, color, depth, interlaced)
            rows = raw(values(12, 10, CHANNELS[color], depth), depth, interlaced)
            start = SIGNATURE + chunk(b"IHDR", ihdr(12, 10, depth, color, interlaced))
            start += chunk(b"PLTE", palette(16)) if color == 3 else b""
            end = chunk(b"IEND", b"")
            z = zlib.compress(rows)
            yield f"png-no-iend-{tag}.png", whole[:-12]
            yield f"png-cut-iend-{tag}.png", whole[:-5]
            yield f"png-cut-crc-{tag}.png", whole[:-14]
            yield f"png-trailing-{tag}.png", whole + b"trailing bytes" * 5
            yield f"png-trailing-zeros-{tag}.png", whole[:-12] + bytes(50)
            yield f"png-bad-idat-crc-{tag}.png", start + chunk(b"IDAT", z, 12345) + end
            yield f"png-bad-iend-crc-{tag}.png", start + chunk(b"IDAT", z) + chunk(b"IEND", b"", 1)
            for cut in (1, 2, 3, 4, 5, 6, 8, 12, len(z) // 2, len(z) - 3, len(z)):
                yield f"png-stream-cut-{cut}-{tag}.png", start + chunk(b"IDAT", z[: len(z) - cut]) + end
                yield f"png-file-cut-{cut}-{tag}.png", start + chunk(b"IDAT", z)[: -4 - cut]
            yield f"png-adler-{tag}.png", start + chunk(b"IDAT", z[:-1] + bytes([z[-1] ^ 1])) + end
            yield f"png-adler-apart-{tag}.png", start + chunk(b"IDAT", z[:-4]) + chunk(b"IDAT", b"\1\2\3\4") + end
            for at in (5, len(z) // 2):
                broken = bytearray(z)
                broken[at] ^= 0x55
                yield f"png-stream-broken-{at}-{tag}.png", start + chunk(b"IDAT", bytes(broken)) + end
            for size in (1, 7):
                parts = b"".join(chunk(b"IDAT", z[i : i + size]) for i in range(0, len(z), size))
                yield f"png-split-{size}-{tag}.png", start + parts + end
            yield f"png-empty-idats-{tag}.png", start + chunk(b"IDAT", b"") * 2 + chunk(b"IDAT", z[:9]) + chunk(b"IDAT", b"") + chunk(b"IDAT", z[9:]) + end
            yield f"png-only-empty-idat-{tag}.png", start + chunk(b"IDAT", b"") + end
            yield f"png-no-idat-{tag}.png", start + end
            yield f"png-idat-parted-{tag}.png", start + chunk(b"IDAT", z[:9]) + chunk(b"tEXt", b"a\0b") + chunk(b"IDAT", z[9:]) + end
            yield f"png-idat-after-{tag}.png", start + chunk(b"IDAT", z) + chunk(b"tEXt", b"a\0b") + chunk(b"IDAT", z) + end
            yield f"png-rows-missing-{tag}.png", start + chunk(b"IDAT", zlib.compress(rows[: len(rows) // 2])) + end
            yield f"png-row-missing-{tag}.png", start + chunk(b"IDAT", zlib.compress(rows[:-1])) + end
            yield f"png-rows-more-{tag}.png", start + chunk(b"IDAT", zlib.compress(rows + bytes(1000))) + end
            yield f"png-junk-in-idat-{tag}.png", start + chunk(b"IDAT", z + b"junk" * 20) + end
            yield f"png-filter-5-{tag}.png", start + chunk(b"IDAT", zlib.compress(b"\5" + rows[1:])) + end
            for level in (0, 1, 9):
                yield f"png-level-{level}-{tag}.png", start + chunk(b"IDAT", zlib.compress(rows, level)) + end
            o = zlib.compressobj(9, 8, 9)
            yield f"png-window-{tag}.png", start + chunk(b"IDAT", o.compress(rows) + o.flush()) + end
            o = zlib.compressobj(9, 8, 15, 9, zlib.Z_HUFFMAN_ONLY)
            yield f"png-huffman-{tag}.png", start + chunk(b"IDAT", o.compress(rows) + o.flush()) + end
            o = zlib.compressobj(9, 8, 15, 9, zlib.Z_FIXED)
            yield f"png-fixed-{tag}.png", start + chunk(b"IDAT", o.compress(rows) + o.flush()) + end
            yield f"png-cut-text-{tag}.png", start + chunk(b"IDAT", z) + chunk(b"tEXt", b"a\0b" * 9)[:-9]
            yield f"png-bad-text-after-{tag}.png", start + chunk(b"IDAT", z) + chunk(b"tEXt", b"a\0b", 7) + end
            yield f"png-bad-text-{tag}.png", start + chunk(b"tEXt", b"a\0b", 7) + chunk(b"IDAT", z) + end
            yield f"png-bad-name-{tag}.png", start + chunk(b"tE t", b"a\0b") + chunk(b"IDAT", z) + end
            yield f"png-bad-name-after-{tag}.png", start + chunk(b"IDAT", z) + chunk(b"tE t", b"a\0b") + end
            yield f"png-raw-deflate-{tag}.png", start + chunk(b"IDAT", z[2:-4]) + end
    rows = zlib.compress(raw(values(5, 4, 3, 8), 8, 0))
    rest = chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    for name, header in {
        "method": ihdr(5, 4, 8, 2, method=1),
        "filters": ihdr(5, 4, 8, 2, filters=1),
        "zero-width": ihdr(0, 4, 8, 2),
        "zero-height": ihdr(5, 0, 8, 2),
        "depth-3": ihdr(5, 4, 3, 2),
        "color-1": ihdr(5, 4, 8, 1),
        "color-5": ihdr(5, 4, 8, 5),
        "rgb-4": ihdr(5, 4, 4, 2),
        "long": ihdr(5, 4, 8, 2) + b"\0\0\0",
        "short": ihdr(5, 4, 8, 2)[:-1],
        "empty": b"",
    }.items():
        yield f"png-header-{name}.png", SIGNATURE + chunk(b"IHDR", header) + rest
    yield "png-header-crc.png", SIGNATURE + chunk(b"IHDR", ihdr(5, 4, 8, 2), 1) + rest
    yield "png-header-interlace-2.png", SIGNATURE + chunk(b"IHDR", ihdr(5, 4, 8, 2, 2)) + chunk(b"IDAT", zlib.compress(raw(values(5, 4, 3, 8), 8, 1))) + rest
    yield "png-header-twice.png", SIGNATURE + chunk(b"IHDR", ihdr(9, 9, 8, 0)) + chunk(b"IHDR", ihdr(5, 4, 8, 2)) + rest
    yield "png-header-missing.png", SIGNATURE + rest
    yield "png-header-late.png", SIGNATURE + chunk(b"gAMA", bytes(4)) + chunk(b"IHDR", ihdr(5, 4, 8, 2)) + rest
    yield "png-signature-alone.png", SIGNATURE


def animated():
    z = zlib.compress(raw(values(8, 6, 3, 8), 8, 0))
    small = zlib.compress(raw(values(4, 3, 3, 8, 5), 8, 0))
    other = zlib.compress(raw(values(8, 6, 3, 8, 5), 8, 0))
    start, end = SIGNATURE + chunk(b"IHDR", ihdr(8, 6, 8, 2)), chunk(b"IEND", b"")

    def frame(number, w=8, h=6, x=0, y=0, dispose=0, blend=0):
        return chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, w, h, x, y, 1, 10, dispose, blend))

    actl, idat = chunk(b"acTL", struct.pack(">II", 2, 0)), chunk(b"IDAT", z)
    second = frame(1) + chunk(b"fdAT", struct.pack(">I", 2) + other)
    for dispose in range(3):
        for blend in range(2):
            yield f"png-animated-{dispose}-{blend}.png", start + actl + frame(0, dispose=dispose, blend=blend) + idat + second + end
    yield "png-animated-default.png", start + actl + idat + frame(0) + chunk(b"fdAT", struct.pack(">I", 1) + other) + end
    yield "png-animated-small-second.png", start + actl + frame(0) + idat + frame(1, 4, 3, 2, 1) + chunk(b"fdAT", struct.pack(">I", 2) + small) + end
    yield "png-animated-small-first.png", start + actl + frame(0, 4, 3, 2, 1) + chunk(b"IDAT", small) + second + end
    yield "png-animated-beyond.png", start + actl + frame(0, 9, 6) + idat + second + end
    yield "png-animated-numbers.png", start + actl + frame(5) + idat + second + end
    yield "png-animated-no-frames.png", start + chunk(b"acTL", bytes(8)) + frame(0) + idat + end
    yield "png-animated-no-actl.png", start + frame(0) + idat + end
    yield "png-animated-one.png", start + chunk(b"acTL", struct.pack(">II", 1, 0)) + frame(0) + idat + end
    yield "png-animated-fdat-first.png", start + actl + frame(0) + chunk(b"fdAT", struct.pack(">I", 1) + z) + end
    yield "png-animated-short-frame.png", start + actl + chunk(b"fcTL", bytes(20)) + idat + end
    yield "png-animated-cut.png", (start + actl + frame(0) + idat + second)[:-30]
