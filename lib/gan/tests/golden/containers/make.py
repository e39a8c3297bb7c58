"""Writes the containers beside it, and want.json: for each the names of its images in order and the SHA-256 of their RGB bytes.

python make.py; needs numpy, Pillow, pyarrow, and the programs tar and zstd. The files are what is tested: another version of these may
write other bytes of the same content.
"""

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import pickle
import struct
import subprocess
import tarfile
import zipfile
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

rng = np.random.default_rng(7)
A = rng.integers(0, 256, (4, 6, 5, 3), dtype=np.uint8)
WANT = {}


def png(a):
    out = io.BytesIO()
    Image.fromarray(a).save(out, "PNG")
    return out.getvalue()


def sha(a):
    a = np.asarray(a, dtype=np.uint8)
    if a.ndim == 2 or a.shape[-1] == 1:
        a = np.repeat(a.reshape(*a.shape[:2], 1), 3, axis=2)
    return hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest()


def want(file, images, names=None):
    names = names or [f"{i:06}" for i in range(len(images))]
    WANT[file] = sorted(zip(names, map(sha, images)))


PNGS = [png(a) for a in A]
LONG = "faces/" + "long" * 40


def add(tar, name, data=b"", **what):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in what.items():
        setattr(info, key, value)
    tar.addfile(info, io.BytesIO(data))


for kind, long in [("gnu", LONG), ("pax", LONG + "/é"), ("ustar", "faces/a")]:
    file = f"{kind}.tar"
    with tarfile.open(file, "w", format=getattr(tarfile, f"{kind.upper()}_FORMAT")) as tar:
        add(tar, "./faces", type=tarfile.DIRTYPE)
        add(tar, f"./{long}/2.png", PNGS[2])
        add(tar, "faces/10.PNG", PNGS[1])
        add(tar, "faces/0.png", PNGS[3])
        # Of two of one name the last counts.
        add(tar, "faces/0.png", PNGS[0])
        add(tar, "faces/notes.txt", b"no image")
        add(tar, "._0.png", b"macOS' shadow")
        add(tar, "hard.png", type=tarfile.LNKTYPE, linkname="faces/10.PNG")
        add(tar, "faces/soft.png", type=tarfile.SYMTYPE, linkname="0.png")
        add(tar, "faces/nowhere.png", type=tarfile.SYMTYPE, linkname="/etc/passwd")
    names = [f"{long}/2.png", "faces/10.PNG", "faces/0.png", "hard.png", "faces/soft.png"]
    want(file, [A[2], A[1], A[0], A[1], A[0]], names)

plain = open("gnu.tar", "rb").read()
half = len(plain) // 2
zstd = lambda data: subprocess.run(["zstd", "-q", "--check", "-c"], input=data, capture_output=True, check=True).stdout
skippable = struct.pack("<II", 0x184D2A53, 5) + b"hello"
for file, data in {
    "faces.tgz": gzip.compress(plain, mtime=0),
    "faces.tar.bz2": bz2.compress(plain[:half]) + bz2.compress(plain[half:]),
    "faces.tar.xz": lzma.compress(plain[:half]) + lzma.compress(plain[half:]),
    "faces.tar.zst": zstd(plain[:half]) + skippable + zstd(plain[half:]),
    # By content, not by name.
    "faces.bin": gzip.compress(plain, mtime=0),
}.items():
    open(file, "wb").write(data)
    WANT[file] = WANT["gnu.tar"]

# A shard of WebDataset.
with tarfile.open("webdataset-000.tar", "w") as tar:
    for i in (1, 0):
        add(tar, f"{i:06}.png", PNGS[i])
        add(tar, f"{i:06}.cls", b"7")
        add(tar, f"{i:06}.json", b"{}")
want("webdataset-000.tar", A[:2], ["000000.png", "000001.png"])

# A file with a hole, as GNU's tar writes it in two ways, and one without.
with open("hole.png", "wb") as file:
    file.truncate(1 << 20)
    file.seek(1 << 19)
    file.write(b"x")
open("a.png", "wb").write(PNGS[0])
for form in ("gnu", "posix"):
    subprocess.run(["tar", "-S", f"--format={form}", "-cf", f"sparse-{form}.tar", "hole.png", "a.png"], check=True)
    want(f"sparse-{form}.tar", A[:1], ["a.png"])
os.remove("hole.png")
os.remove("a.png")

# A zip by hand, since zipfile does not write all methods.
def write_zip(file, method, pack, entries, flags=0):
    body, directory = b"", b""
    for name, data in entries:
        packed = pack(data)
        fields = struct.pack("<HHHHHIIIHH", 63, flags, method, 0, 0x21, zlib.crc32(data), len(packed), len(data), len(name), 0)
        directory += b"PK\1\2" + struct.pack("<H", 63) + fields + struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + name.encode()
        body += b"PK\3\4" + fields + name.encode() + packed
    end = struct.pack("<HHHHIIH", 0, 0, len(entries), len(entries), len(directory), len(body), 0)
    open(file, "wb").write(body + directory + b"PK\5\6" + end)


def zip_lzma(data):
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 23}]
    raw = lzma.compress(data, lzma.FORMAT_RAW, filters=filters)
    return struct.pack("<HHBI", 0x0914, 5, 93, 1 << 23) + raw


def deflate64(data):
    """One block of fixed codes: literals, and runs of a byte as matches of length code 285, which has 16 extra bits in Deflate64."""
    bits = []
    number = lambda value, n: bits.extend((value >> i) & 1 for i in range(n))
    code = lambda value, n: bits.extend((value >> (n - 1 - i)) & 1 for i in range(n))

    def symbol(s):
        if s < 144:
            code(0x30 + s, 8)
        elif s < 256:
            code(0x190 + s - 144, 9)
        elif s < 280:
            code(s - 256, 7)
        else:
            code(0xC0 + s - 280, 8)

    number(1, 1)
    number(1, 2)
    at = 0
    while at < len(data):
        run = 0
        while at > 0 and run < 65538 and at + run < len(data) and data[at + run] == data[at - 1]:
            run += 1
        if run >= 3:
            symbol(285)
            number(run - 3, 16)
            code(0, 5)
            at += run
        else:
            symbol(data[at])
            at += 1
    symbol(256)
    bits += [0] * (-len(bits) % 8)
    return bytes(sum(bit << k for k, bit in enumerate(bits[i : i + 8])) for i in range(0, len(bits), 8))


three = [(f"a/{i}.png", PNGS[i]) for i in range(3)]
for name, method, pack in [
    ("bzip2", 12, bz2.compress),
    ("lzma", 14, zip_lzma),
    ("zstd", 93, zstd),
    ("xz", 95, lzma.compress),
]:
    write_zip(f"{name}.zip", method, pack, three)
    want(f"{name}.zip", A[:3], [n for n, _ in three])
flat = np.full((300, 300), 9, np.uint8)
write_zip("deflate64.zip", 9, deflate64, [("flat.pgm", b"P5 300 300 255\n" + flat.tobytes())])
want("deflate64.zip", [flat], ["flat.pgm"])
with zipfile.ZipFile("lzma-of-python.zip", "w", compression=zipfile.ZIP_LZMA) as z:
    for name, data in three:
        z.writestr(name, data)
want("lzma-of-python.zip", A[:3], [n for n, _ in three])

# numpy's arrays.
for name, array, images in [
    ("u8.npy", A, A),
    ("channels_first.npy", A.transpose(0, 3, 1, 2).copy(), A),
    ("one_channel.npy", A[..., :1].copy(), A[..., :1]),
    ("gray.npy", A[..., 0].copy(), A[..., 0]),
    ("fortran.npy", np.asfortranarray(A), A),
    ("fortran_gray.npy", np.asfortranarray(A[..., 0]), A[..., 0]),
    ("fortran_first_f32.npy", np.asfortranarray((A / 255).astype("<f4").transpose(0, 3, 1, 2)), A),
    ("unit_f32.npy", (A / 255).astype("<f4"), A),
    ("unit_f16.npy", (A / 255).astype("<f2"), A),
    ("signed_f64.npy", A / 127.5 - 1, A),
    ("bytes_f32_big.npy", A.astype(">f4"), A),
    ("i64.npy", A.astype("<i8"), A),
    ("u16_big.npy", A.astype(">u2"), A),
]:
    np.save(name, array)
    want(name, images)
np.savez("samples.npz", arr_0=A, arr_1=np.zeros(4, np.int64))
want("samples.npz", A)
np.savez_compressed("keras.npz", x_train=A[:3], y_train=np.zeros(3), x_test=A, y_test=np.zeros(4))
want("keras.npz", A[:3])
medical = {f"{s}_images": A[:n, ..., 0] for s, n in [("test", 4), ("train", 3), ("val", 2)]}
np.savez("medmnist.npz", **medical, **{f"{s}_labels": np.zeros((n, 1), np.uint8) for s, n in [("train", 3), ("test", 4), ("val", 2)]})
want("medmnist.npz", A[:3, ..., 0])
np.savez("with_statistics.npz", arr_0=A, mu=np.zeros(64), sigma=np.eye(64))
want("with_statistics.npz", A)

# Batches as CIFAR's, of 4×4 pixels, in every protocol of pickle; Python 2 wrote the published ones, with str for bytes.
B = rng.integers(0, 256, (3, 3, 4, 4), dtype=np.uint8)
B[0, 0] = np.frombuffer(b"'\\\n\r\t\0\xff\x80\"abcdefg", np.uint8).reshape(4, 4)
batch = {b"batch_label": b"training batch 1 of 5", b"labels": [1, 2, 3], b"data": B.reshape(3, -1), b"filenames": [b"a.png"] * 3}
for protocol in range(6):
    name = f"batch_protocol_{protocol}"
    open(name, "wb").write(pickle.dumps(batch, protocol=protocol))
    want(name, B.transpose(0, 2, 3, 1))
data = B.reshape(3, -1).tobytes()
old = b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b\x87Rq\x05(K\x01K\x03K0\x86"
old += b"cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
old += b"T" + struct.pack("<I", len(data)) + data + b"tbU\x06labelsq\x08]q\x09(K\x01K\x02K\x03eu."
open("batch_python_2", "wb").write(old)
want("batch_python_2", B.transpose(0, 2, 3, 1))
quoted = repr(data).encode()[1:]
old = b"(dp1\nS'data'\np2\ncnumpy.core.multiarray\n_reconstruct\np3\n(cnumpy\nndarray\np4\n(I0\ntS'b'\ntRp5\n(I1\n(I3\nI48\nt"
old += b"cnumpy\ndtype\np6\n(S'u1'\nI0\nI1\ntRp7\n(I3\nS'|'\nNNNI-1\nI-1\nI0\ntbI00\n" + b"S" + quoted + b"\ntbs."
open("batch_python_2_protocol_0", "wb").write(old)
want("batch_python_2_protocol_0", B.transpose(0, 2, 3, 1))

# Hugging Face's data sets.
images = pa.array([{"bytes": p, "path": f"{i}.png"} for i, p in enumerate(PNGS)] + [None])
for name, options in [
    ("snappy", {}),
    ("plain", {"compression": "none", "use_dictionary": False}),
    ("gzip", {"compression": "gzip", "data_page_version": "2.0"}),
    ("groups", {"row_group_size": 2}),
]:
    pq.write_table(pa.table({"image": images, "label": list(range(5))}), f"{name}.parquet", **options)
    want(f"{name}.parquet", A, [f"{i:06}.png" for i in range(4)])
pq.write_table(pa.table({"image": images}), "zstd.parquet", compression="zstd")
pq.write_table(pa.table({"text": ["a", "b"]}), "no_images.parquet")

json.dump(WANT, open("want.json", "w"), indent=1, sort_keys=True, ensure_ascii=False)
