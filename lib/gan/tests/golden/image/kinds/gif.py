"""GIFs: palettes, interlacing, screens, transparency, damage."""

import struct

import numpy as np
from common import values


def lzw(data, bits):
    """LZW with codes from the lowest bit on, in blocks."""
    clear = 1 << bits
    out, held, count = bytearray(), 0, 0

    def emit(code, size):
        nonlocal held, count
        held |= code << count
        count += size
        while count >= 8:
            out.append(held & 255)
            held >>= 8
            count -= 8

    size, table = bits + 1, {bytes([i]): i for i in range(clear)}
    emit(clear, size)
    word, n = b"", clear + 2
    for byte in data:
        longer = word + bytes([byte])
        if longer in table:
            word = longer
            continue
        emit(table[word], size)
        if n < 4096:
            table[longer] = n
            if n == 1 << size and size < 12:
                size += 1
            n += 1
        else:
            emit(clear, size)
            size, table, n = bits + 1, {bytes([i]): i for i in range(clear)}, clear + 2
        word = bytes([byte])
    if word:
        emit(table[word], size)
        # The decoder adds a code for this word, too.
        if n == 1 << size and size < 12 and n < 4096:
            size += 1
    emit(clear + 1, size)
    if count:
        out.append(held & 255)
    return b"".join(bytes([len(out[i : i + 255])]) + out[i : i + 255] for i in range(0, len(out), 255)) + b"\0"


def palette(bits, a=1):
    return bytes((i * k * a + 30 * k) % 256 for i in range(1 << bits) for k in (3, 7, 13))


def greys(bits):
    return bytes(i for i in range(1 << bits) for _ in range(3))


def frame(v, bits, at=(0, 0), local=None, interlaced=False, transparent=None, dispose=0, size=None):
    h, w = v.shape
    out = b""
    if transparent is not None or dispose:
        flags = dispose << 2 | (transparent is not None)
        out += b"!\xf9\4" + struct.pack("<BHBB", flags, 5, transparent or 0, 0)
    flags = (0x80 | bits - 1 if local else 0) | (0x40 if interlaced else 0)
    w_, h_ = size or (w, h)
    out += b"," + struct.pack("<HHHHB", *at, w_, h_, flags) + (local or b"")
    if interlaced:
        v = np.concatenate([v[0::8], v[4::8], v[2::4], v[1::2]])
    least = max(2, bits)
    return out + bytes([least]) + lzw(v.astype(np.uint8).tobytes(), least)


def image(screen, bits, frames, glob=True, background=0, version=b"GIF89a", end=b";", between=b""):
    table = palette(bits) if glob is True else glob
    flags = 0x80 | bits - 1 if table else 0
    return version + struct.pack("<HHBBB", *screen, flags, background, 0) + (table or b"") + between + b"".join(frames) + end


def indices(w, h, bits, a=3):
    return values(w, h, 1, bits, a)[:, :, 0]


def files():
    for bits in range(1, 9):
        for interlaced in (False, True):
            for w, h in ((1, 1), (2, 9), (9, 2), (5, 8), (16, 16), (33, 17)):
                yield f"gif-{bits}-{int(interlaced)}-{w}x{h}.gif", image((w, h), bits, [frame(indices(w, h, bits), bits, interlaced=interlaced)])
    for bits in (1, 3, 8):
        v, small = indices(12, 10, bits), indices(5, 4, bits)
        local = palette(bits, 5)
        most = (1 << bits) - 1
        for transparent in (None, 0, most):
            for dispose in range(4):
                tag = f"{bits}-{transparent}-{dispose}"
                yield f"gif-whole-{tag}.gif", image((12, 10), bits, [frame(v, bits, transparent=transparent, dispose=dispose)], background=most)
                yield f"gif-small-{tag}.gif", image((12, 10), bits, [frame(small, bits, (3, 2), transparent=transparent, dispose=dispose)], background=most)
                yield f"gif-local-{tag}.gif", image((12, 10), bits, [frame(small, bits, (7, 6), local, True, transparent, dispose)], background=1)
                yield f"gif-local-alone-{tag}.gif", image((12, 10), bits, [frame(v, bits, local=local, transparent=transparent, dispose=dispose)], glob=None)
                yield f"gif-beyond-{tag}.gif", image((8, 7), bits, [frame(v, bits, (1, 2), transparent=transparent, dispose=dispose)])
                yield f"gif-two-{tag}.gif", image((12, 10), bits, [frame(v, bits, transparent=transparent, dispose=dispose), frame(small, bits, (2, 2), local, transparent=0)])
        tag = str(bits)
        yield f"gif-87-{tag}.gif", image((12, 10), bits, [frame(v, bits)], version=b"GIF87a")
        yield f"gif-no-palette-{tag}.gif", image((12, 10), bits, [frame(v, bits)], glob=None)
        yield f"gif-grey-{tag}.gif", image((12, 10), bits, [frame(v, bits)], glob=greys(bits))
        yield f"gif-grey-small-{tag}.gif", image((12, 10), bits, [frame(small, bits, (1, 1), transparent=1)], glob=greys(bits))
        yield f"gif-grey-local-{tag}.gif", image((12, 10), bits, [frame(v, bits, local=greys(bits))])
        yield f"gif-no-end-{tag}.gif", image((12, 10), bits, [frame(v, bits)], end=b"")
        yield f"gif-trailing-{tag}.gif", image((12, 10), bits, [frame(v, bits)], end=b";trailing" * 9)
        yield f"gif-comment-{tag}.gif", image((12, 10), bits, [frame(v, bits)], between=b"!\xfe\5hello\0!\xff\x0bNETSCAPE2.0\3\1\0\0\0!\x01\1x\0")
        yield f"gif-no-frame-{tag}.gif", image((12, 10), bits, [])
        yield f"gif-screen-zero-{tag}.gif", image((0, 0), bits, [frame(v, bits)])
        yield f"gif-frame-zero-{tag}.gif", image((12, 10), bits, [frame(v, bits, size=(0, 0))])
        yield f"gif-rows-missing-{tag}.gif", image((12, 10), bits, [frame(v[:6], bits, size=(12, 10))])
        yield f"gif-pixel-missing-{tag}.gif", image((12, 10), bits, [frame(v.reshape(1, -1)[:, :-1], bits, size=(12, 10))])
        yield f"gif-rows-more-{tag}.gif", image((12, 10), bits, [frame(np.concatenate([v, v]), bits, size=(12, 10))])
        whole = image((12, 10), bits, [frame(v, bits)])
        for cut in (1, 2, 3, 4, 9, 20, 40):
            yield f"gif-cut-{cut}-{tag}.gif", whole[: len(whole) - cut]
        for at in (30, 45, 60):
            broken = bytearray(whole)
            broken[-min(at, len(whole) - 20)] ^= 0x5A
            yield f"gif-broken-{at}-{tag}.gif", bytes(broken)
    # Indices beyond a short palette: codes of 8 bits, colors of 2.
    v = indices(12, 10, 8)
    yield "gif-short-palette.gif", image((12, 10), 2, [b"," + struct.pack("<HHHHB", 0, 0, 12, 10, 0) + b"\x08" + lzw(v.astype(np.uint8).tobytes(), 8)])
    yield "gif-short-grey-palette.gif", image((12, 10), 2, [b"," + struct.pack("<HHHHB", 0, 0, 12, 10, 0) + b"\x08" + lzw(v.astype(np.uint8).tobytes(), 8)], glob=greys(2))
    yield "gif-long.gif", image((90, 120), 8, [frame(np.arange(10800).reshape(120, 90) * 37 % 251, 8)])
