"""Windows bitmaps and Netpbm files."""

import struct

import numpy as np
from common import SIZES, formula, packed, values

MASKS = [
    (32, (0xFF0000, 0xFF00, 0xFF, 0)),
    (32, (0xFF000000, 0xFF0000, 0xFF00, 0)),
    (32, (0xFF000000, 0xFF00, 0xFF, 0)),
    (32, (0xFF000000, 0xFF0000, 0xFF00, 0xFF)),
    (32, (0xFF, 0xFF00, 0xFF0000, 0xFF000000)),
    (32, (0xFF0000, 0xFF00, 0xFF, 0xFF000000)),
    (32, (0xFF000000, 0xFF00, 0xFF, 0xFF0000)),
    (32, (0, 0, 0, 0)),
    (32, (0x3FF, 0xFFC00, 0x3FF00000, 0)),
    (24, (0xFF0000, 0xFF00, 0xFF, 0)),
    (24, (0xFF, 0xFF00, 0xFF0000, 0)),
    (16, (0xF800, 0x7E0, 0x1F, 0)),
    (16, (0x7C00, 0x3E0, 0x1F, 0)),
    (16, (0xF00, 0xF0, 0xF, 0)),
]


def palette(n, entry):
    return b"".join(bytes([i * 3 % 256, (i * 7 + 9) % 256, (i * 13 + 5) % 256, 0][:entry]) for i in range(n))


def greys(n, entry):
    return b"".join(bytes([255 * i if n == 2 else i] * 3 + [0])[:entry] for i in range(n))


def bmp(w, h, bits, data, header=40, top_down=False, compression=0, colors=b"", used=0, masks=None, offset=None, file_header=True):
    if header == 12:
        info = struct.pack("<IHHHH", 12, w, h, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", header, w, -h if top_down else h, 1, bits, compression, len(data), 2835, 2835, used, 0)
        if masks and header >= 52:
            info += struct.pack("<4I", *masks)[: 12 if header == 52 else 16]
        info = info[:header] + bytes(max(0, header - len(info)))
        if masks and header < 52:
            info += struct.pack("<3I", *masks[:3])
    start = 14 + len(info) + len(colors)
    if not file_header:
        return info + colors + data
    return struct.pack("<2sIHHI", b"BM", start + len(data), 0, 0, start if offset is None else offset) + info + colors + data


def rows(w, h, bits, top_down=False, fill=b"\0", seed=3):
    """Rows of so many bits a pixel, filled up to four bytes."""
    if bits <= 8:
        lines = packed(values(w, h, 1, bits, seed)[:, :, 0], bits)
    elif bits == 16:
        lines = [(row * 4099 % 65536).astype("<u2").tobytes() for row in values(w, h, 1, 16, seed)[:, :, 0]]
    else:
        v = formula(w, h, seed)
        v = np.concatenate([v, v[:, ::-1, :1]], 2)[:, :, : bits // 8]
        lines = [row.tobytes() for row in v]
    lines = lines if top_down else lines[::-1]
    return b"".join(line + fill * (-len(line) % 4) for line in lines)


def run_lengths(v, four, tail=b"\0\1"):
    """Runs and literals in turn, with a gap here and there."""
    out = bytearray()
    for y, row in enumerate(v[::-1]):
        x, literal = 0, y % 2 == 0
        while x < len(row):
            n = min(len(row) - x, 3 + (x + y) % 4)
            part = [int(p) for p in row[x : x + n]]
            if literal and n >= 3:
                out += bytes([0, n])
                if four:
                    data = bytes((part[i] << 4) | (part[i + 1] if i + 1 < n else 0) for i in range(0, n, 2))
                else:
                    data = bytes(part)
                out += data + bytes(len(data) % 2)
            else:
                out += bytes([n, part[0] << 4 | part[-1] if four else part[0]])
            x, literal = x + n, not literal
        out += b"\0\0"
    return bytes(out) + tail


def files():
    yield from bmps()
    yield from pnms()


def bmps():
    for bits in (1, 4, 8, 16, 24, 32):
        n = 1 << bits if bits <= 8 else 0
        for w, h in SIZES:
            yield f"bmp-{bits}-{w}x{h}.bmp", bmp(w, h, bits, rows(w, h, bits), colors=palette(n, 4))
        for header in (12, 40, 52, 56, 64, 108, 124, 16, 300):
            entry = 3 if header == 12 else 4
            yield f"bmp-header-{header}-{bits}.bmp", bmp(7, 5, bits, rows(7, 5, bits), header, colors=palette(n, entry))
            yield f"bmp-dib-{header}-{bits}.dib", bmp(7, 5, bits, rows(7, 5, bits), header, colors=palette(n, entry), file_header=False)
        yield f"bmp-down-{bits}.bmp", bmp(7, 5, bits, rows(7, 5, bits, True), top_down=True, colors=palette(n, 4))
        yield f"bmp-no-offset-{bits}.bmp", bmp(7, 5, bits, rows(7, 5, bits), colors=palette(n, 4), offset=0)
        yield f"bmp-wrong-offset-{bits}.bmp", bmp(7, 5, bits, rows(7, 5, bits), colors=palette(n, 4), offset=54)
        yield f"bmp-late-{bits}.bmp", bmp(7, 5, bits, bytes(10) + rows(7, 5, bits), colors=palette(n, 4), offset=64 + 4 * n)
        whole = bmp(7, 5, bits, rows(7, 5, bits), colors=palette(n, 4))
        for cut in (1, 2, 3, 4, 9):
            yield f"bmp-cut-{cut}-{bits}.bmp", whole[:-cut]
        yield f"bmp-trailing-{bits}.bmp", whole + b"trailing"
    for bits in (1, 4, 8):
        for used in (1, 2, 3, 16, 200, 256, 300):
            yield f"bmp-used-{used}-{bits}.bmp", bmp(7, 5, bits, rows(7, 5, bits), colors=palette(used, 4), used=used)
            yield f"bmp-grey-{used}-{bits}.bmp", bmp(7, 5, bits, rows(7, 5, bits), colors=greys(min(used, 256), 4) + bytes(4 * max(0, used - 256)), used=used)
        yield f"bmp-grey-core-{bits}.bmp", bmp(7, 5, bits, rows(7, 5, bits), 12, colors=greys(1 << bits, 3))
        yield f"bmp-inverted-{bits}.bmp", bmp(7, 5, bits, rows(7, 5, bits), colors=greys(1 << bits, 4)[::-1])
    for i, (bits, masks) in enumerate(MASKS):
        for header in (40, 52, 56, 108, 124):
            yield f"bmp-masks-{i}-{bits}-{header}.bmp", bmp(9, 4, bits, rows(9, 4, bits), header, compression=3, masks=masks)
        yield f"bmp-masks-{i}-{bits}-down.bmp", bmp(9, 4, bits, rows(9, 4, bits, True), compression=3, masks=masks, top_down=True)
    for bits, compression in ((8, 1), (4, 2)):
        n = 1 << bits
        for w, h in ((1, 1), (4, 3), (7, 6), (12, 5), (33, 9)):
            v = values(w, h, 1, bits)[:, :, 0]
            data = run_lengths(v, bits == 4)
            yield f"bmp-rle-{bits}-{w}x{h}.bmp", bmp(w, h, bits, data, compression=compression, colors=palette(n, 4))
            yield f"bmp-rle-down-{bits}-{w}x{h}.bmp", bmp(w, h, bits, data, compression=compression, colors=palette(n, 4), top_down=True)
            yield f"bmp-rle-no-end-{bits}-{w}x{h}.bmp", bmp(w, h, bits, data[:-2], compression=compression, colors=palette(n, 4))
            yield f"bmp-rle-cut-{bits}-{w}x{h}.bmp", bmp(w, h, bits, data[: len(data) // 2], compression=compression, colors=palette(n, 4))
            yield f"bmp-rle-grey-{bits}-{w}x{h}.bmp", bmp(w, h, bits, data, compression=compression, colors=greys(n, 4))
        for name, data in {
            "delta": b"\3\x11\0\2\2\1\4\x22\0\0\2\x33\0\1",
            "delta-far": b"\3\x11\0\2\xff\xff\0\1",
            "early-end": b"\3\x11\0\0\0\1",
            "long-run": b"\xff\x11" * 9,
            "long-literal": b"\0\x20" + bytes(range(64)) + b"\0\1",
            "odd-literal": b"\0\3\x12\x34\x56\0\4\x11\0\0" * 6,
            "empty": b"",
        }.items():
            yield f"bmp-rle-{name}-{bits}.bmp", bmp(8, 5, bits, data, compression=compression, colors=palette(n, 4))
    yield "bmp-jpeg.bmp", bmp(8, 5, 24, rows(8, 5, 24), compression=4)
    yield "bmp-bits-2.bmp", bmp(8, 5, 2, bytes(20), colors=palette(4, 4))
    yield "bmp-bits-64.bmp", bmp(8, 5, 64, bytes(320))
    yield "bmp-zero.bmp", bmp(0, 5, 24, b"")
    yield "bmp-colors.bmp", bmp(8, 5, 8, rows(8, 5, 8), colors=palette(256, 4), used=70000)


def plain(v):
    return b" ".join(str(int(p)).encode() for p in v.ravel()) + b"\n"


def pnms():
    for w, h in SIZES:
        bit = values(w, h, 1, 1)[:, :, 0]
        yield f"pnm-1-{w}x{h}.pbm", b"P1\n%d %d\n" % (w, h) + plain(bit)
        yield f"pnm-1-dense-{w}x{h}.pbm", b"P1 %d %d\n" % (w, h) + plain(bit).replace(b" ", b"")
        yield f"pnm-4-{w}x{h}.pbm", b"P4\n%d %d\n" % (w, h) + b"".join(packed(bit, 1))
    for most in (1, 2, 3, 7, 15, 31, 63, 100, 127, 128, 200, 254, 255, 256, 257, 300, 1000, 1023, 4095, 32767, 65534, 65535):
        w, h = 11, 7
        for n, binary, text in ((1, 5, 2), (3, 6, 3)):
            v = values(w, h, n, 16).astype(np.uint64) * most // 65535
            v[0, 0], v[-1, -1] = 0, most
            head = b"%d %d\n%d\n" % (w, h, most)
            data = v.astype(np.uint8 if most < 256 else ">u2").tobytes()
            yield f"pnm-{binary}-{most}.pnm", b"P%d\n" % binary + head + data
            yield f"pnm-{text}-{most}.pnm", b"P%d\n" % text + head + plain(v)
    grey, rgb = bytes(range(0, 240, 4)), bytes(range(0, 180))
    for name, data in {
        "comment": b"P5\n# a comment\n10 # another\n6\n#\n255\n" + grey,
        "comment-first": b"P5# a comment\n10 6\n255\n" + grey,
        "comment-in-number": b"P5\n1#x\n0 6\n255\n" + grey,
        "comment-before-data": b"P5\n10 6\n255\n#x\n" + grey,
        "spaces": b"P5 \t10\r\n 6\x0b255 " + grey,
        "crlf-grey": b"P5\r\n10 6\r\n255\n" + grey,
        "crlf": b"P6\r\n10 6\r\n255\n" + rgb,
        "comment-plain": b"P2\n2 2\n# x\n255\n1 2 # three\n3 4\n",
        "comment-plain-glued": b"P2\n2 2\n255\n1 2# three\n3 4\n",
        "comment-bits": b"P1\n2 2\n1 # 1 1 1\n0 0 1",
        "above": b"P5\n3 1\n100\n\x00\x64\xff",
        "above-plain": b"P2\n3 1\n100\n0 100 101\n",
        "negative-plain": b"P2\n3 1\n100\n0 100 -1\n",
        "word-plain": b"P2\n3 1\n100\n0 100 x\n",
        "long-word-plain": b"P2\n2 1\n100\n0 00000000001\n",
        "two-in-bits": b"P1\n2 1\n1 2\n",
        "more-plain": b"P2\n2 1\n255\n1 2 3 4 5\n",
        "cut-plain": b"P2\n2 2\n255\n1 2 3",
        "no-space-plain": b"P2\n2 2\n255\n1 2 3 4",
        "cut-bits": b"P1\n2 2\n1 0 1",
        "cut-grey": b"P5\n10 6\n255\n" + grey[:-1],
        "cut-rgb": b"P6\n10 6\n255\n" + rgb[:-1],
        "cut-odd": b"P6\n10 6\n254\n" + rgb[:-1],
        "cut-16": b"P5\n5 6\n65535\n" + grey[:-1],
        "cut-packed": b"P4\n9 6\n" + bytes(11),
        "more": b"P6\n10 6\n255\n" + rgb + b"more",
        "zero": b"P5\n0 6\n255\n",
        "most-0": b"P5\n10 6\n0\n" + grey,
        "most-65536": b"P5\n10 6\n65536\n" + grey * 2,
        "long-number": b"P5\n00000000010 6\n255\n" + grey,
        "word": b"P5\nten 6\n255\n" + grey,
        "no-size": b"P5\n",
        "p7": b"P7\nWIDTH 10\nHEIGHT 6\nDEPTH 1\nMAXVAL 255\nTUPLTYPE GRAYSCALE\nENDHDR\n" + grey,
    }.items():
        yield f"pnm-{name}.pnm", data
    v = (values(5, 4, 1, 8)[:, :, 0].astype(np.float32) * 1.37 - 20).astype("<f4")
    v[0, 0], v[1, 1], v[2, 2] = np.inf, -np.inf, 254.99
    for scale in (b"-1.0", b"1.0", b"-3.5", b"0", b"nan", b"inf", b"x"):
        data = v.astype(">f4") if not scale.startswith(b"-") else v
        yield f"pnm-float-{scale.decode()}.pfm", b"Pf\n5 4\n" + scale + b"\n" + data.tobytes()
    yield "pnm-float-color.pfm", b"PF\n2 1\n-1\n" + bytes(24)
    yield "pnm-float-cut.pfm", b"Pf\n5 4\n-1\n" + v.tobytes()[:-1]
