"""Pixels that are the same everywhere."""

import numpy as np


def formula(w, h, a):
    """Smooth waves with a hard edge and little grain, `[h, w, 3]` of bytes."""
    y, x, c = np.meshgrid(np.arange(h), np.arange(w), np.arange(3), indexing="ij")
    wave = (x * (7 + c) + y * (5 - c) * a) % 512
    wave = np.where(wave > 255, 511 - wave, wave)
    edge = np.where((x * 3 + y * 2) % 97 < 40, 60, 0)
    return np.clip(wave - edge, 0, 255).astype(np.uint8)


def values(w, h, channels, bits, a=3):
    """`[h, w, channels]` of so many bits, both ends among them."""
    y, x, c = np.meshgrid(np.arange(h), np.arange(w), np.arange(channels), indexing="ij")
    most = (1 << bits) - 1
    wave = (x * (7 + c) + y * (5 - c) * a + 31 * c) % 64
    v = wave.astype(np.uint64) * most // 63
    if bits > 8:
        v = (v + (x + y) % 300) % (most + 1)
    return v.astype(np.uint32)


def packed(v, bits, reverse=False):
    """Rows of `[h, n]` values of 1, 2, 4, 8 or 12 bits, each from a byte on; lists of bytes."""
    rows = []
    for row in v:
        if bits == 8:
            data = row.astype(np.uint8).tobytes()
        else:
            text = "".join(format(int(value), f"0{bits}b") for value in row)
            text += "0" * (-len(text) % 8)
            data = bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))
        if reverse:
            data = bytes(int(format(b, "08b")[::-1], 2) for b in data)
        rows.append(data)
    return rows


SIZES = [(1, 1), (2, 1), (1, 2), (3, 3), (4, 5), (5, 4), (7, 9), (8, 8), (9, 2), (16, 7), (17, 17), (33, 10)]
