"""Small sound files for the fuzzers to begin with: seeds.py ELBO, the program's path."""

import gzip
import io
import pathlib
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib

corpus = pathlib.Path(__file__).parent / "corpus"


def seed(target, name, data):
    folder = corpus / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def npy(dtype, shape, data, fortran=False):
    header = f"{{'descr': '{dtype}', 'fortran_order': {fortran}, 'shape': {shape}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data


def npz(members, method):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name + ".npy", data)
    return buffer.getvalue()


def png(colour, depth, width, height, rows, *chunks):
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = b"".join(chunk(*pair) for pair in [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")])
    return b"\x89PNG\r\n\x1a\n" + body


images = struct.pack(">IIII", 0x803, 4, 2, 3) + bytes(range(24))
labels = struct.pack(">II", 0x801, 4) + bytes([3, 1, 4, 1])
for name, kind, data in [
    ("images", 0, images),
    ("images.gz", 1, gzip.compress(images)),
    ("labels", 2, labels),
    ("labels.gz", 3, gzip.compress(labels)),
]:
    seed("idx", name, bytes([kind]) + data)

pixels = npy("|u1", (4, 2, 3), bytes(range(24)))
floats = npy("<f4", (4, 4), struct.pack("<16f", *[i / 16 for i in range(16)]), True)
truth = npy("|b1", (4, 1, 2, 2), bytes([0, 1] * 8))
numbers = npy("<i8", (4,), struct.pack("<4q", 0, 1, 2, 3))
for name, data in [("bytes", pixels), ("floats", floats), ("truth", truth)]:
    seed("arrays", name, data)
for method in [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]:
    seed("arrays", f"archive-{method}", npz({"x": pixels, "y": numbers}, method))
    members = {"x_train": pixels, "y_train": numbers, "x_test": pixels, "y_test": numbers}
    seed("arrays", f"archive-four-{method}", npz(members, method))

seed("png", "grey", png(0, 8, 3, 2, bytes([0, 1, 2, 3, 1, 4, 5, 6])))
seed("png", "colour", png(2, 8, 1, 2, bytes([0, 1, 2, 3, 0, 4, 5, 6])))
seed("png", "deep", png(0, 16, 1, 2, bytes([0, 1, 2, 0, 4, 5])))
seed("png", "bits", png(0, 1, 8, 2, bytes([0, 170, 0, 85])))
seed("png", "indexed", png(3, 8, 2, 1, bytes([0, 0, 1]), (b"PLTE", bytes([1, 2, 3, 4, 5, 6]))))

with tempfile.TemporaryDirectory() as folder:
    data = pathlib.Path(folder) / "images.npy"
    data.write_bytes(npy("|u1", (20, 2, 2), bytes(range(80))))
    run = pathlib.Path(folder) / "run"
    small = ["--hidden", "2", "--latent", "1", "--epochs", "2", "--keep-best"]
    subprocess.run([sys.argv[1], "train", "--data", data, "--out", run, *small], check=True, stdout=subprocess.DEVNULL)
    for target, name in [("model", "model.safetensors"), ("checkpoint", "checkpoint.safetensors")]:
        seed(target, name, (run / name).read_bytes())

for number, words in enumerate(
    [
        "train --epochs 3 --hidden 400,200 --latent 2 --activation tanh",
        "train vae --likelihood gaussian --deviation 0.1 --beta 4 --warm-up 2 --seed 7",
        "--threads 2 train --resume --out runs/none",
        "evaluate none --samples 10 --images 5 --codes 3 --refine 2 --binarise stochastic",
        "sample none --out a.png --count 3 --columns 2 --scale 4",
        "reconstruct none --count 3 --split letters --test-fraction 0.2",
    ]
):
    seed("command_line", str(number), words.replace(" ", "\n").encode())
