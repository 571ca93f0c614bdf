"""A decoder that follows FORMAT.md, with the files of a run and nothing of the library.

It shares numpy and the reader of safetensors with it, and is slow and plain. Matrices of 8 bits and
single pixels are all that it knows.
"""

import hashlib
import io
import json
import math
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from actpress.plan import Placement, Transform
from actpress.pressing import CompressedModel
from actpress.run import save_model
from actpress.stream import Decoder, Encoder

MakePressed = Callable[..., CompressedModel]
Symbols = NDArray[np.int64]


def number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at


@dataclass
class Book:
    """What a run folder says."""

    plan: dict[str, Any]
    text: str
    tensors: dict[str, Tensor]

    @classmethod
    def open(cls, folder: Path) -> "Book":
        text = (folder / "plan.json").read_text()
        return cls(json.loads(text), text, load_file(folder / "codec.safetensors"))

    def tables(self) -> tuple[int, list[list[int]]]:
        """Lowest symbol, and the frequencies of all tables, the escape's last."""
        get = self.tensors
        lowest, highest = get["tables/range"].tolist()
        entries = iter(get["tables/entries"].tolist())
        found = []
        for first, last in zip(
            get["tables/first"].tolist(), get["tables/last"].tolist(), strict=True
        ):
            row = [0] * (highest - lowest + 1)
            for symbol in range(first, last + 1):
                row[symbol - lowest] = next(entries)
            found.append([*row, 4096 - sum(row)])
        assert not list(entries)
        return lowest, found

    def indices(self, name: str, count: int, choices: int) -> list[int]:
        width = (choices - 1).bit_length()
        bits = "".join(f"{byte:08b}" for byte in self.tensors[name].tolist())
        return [int(bits[i * width : (i + 1) * width] or "0", 2) for i in range(count)]

    def classes(self, site: dict[str, Any]) -> list[int]:
        choices = len(self.tensors["tables/table_of"])
        return self.indices(f"{site['site']}/class_of", site["rank"], choices)

    def quantizers(self, site: dict[str, Any]) -> tuple[NDArray[np.float32], Symbols, Symbols]:
        """Step, lowest and highest symbol of every component."""
        name, k = site["site"], site["rank"]
        steps = self.tensors[f"{name}/steps"].float().numpy()
        which = self.indices(f"{name}/quantizer_of", k, len(steps))
        widths = self.tensors[f"{name}/widths"].numpy().astype(np.int64)[which]
        lowest = int(self.tensors[f"{name}/lowest"])
        q_min = np.array([max(lowest, -(2 ** (b - 1)) if b else 0) for b in widths.tolist()])
        for j, b in enumerate(widths.tolist()):
            if b == widths.max() and lowest + 2**b > 0:
                q_min[j] = lowest
        return steps[which], q_min, q_min + 2**widths - 1

    def matrix(self, name: str) -> NDArray[np.float32]:
        get = self.tensors
        return (get[name].float() * get[f"{name}.scale"].float()[:, None]).numpy()

    def matrices(self, site: dict[str, Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        name = site["site"]
        if site["transform"] == "learned":
            return self.matrix(f"{name}/encoder"), self.matrix(f"{name}/decoder")
        vectors = self.matrix(f"{name}/vectors")
        if site["transform"] == "pca":
            return vectors, vectors.T
        if site["transform"] == "scaled_pca":
            scale = self.tensors[f"{name}/scale"].float().numpy()
            return vectors * scale, vectors.T / scale[:, None]
        assert site["transform"] == "block_pca"
        order = self.tensors[f"{name}/order"].tolist()
        encoder = np.zeros((site["rank"], site["channels"]), np.float32)
        for i, cluster in enumerate(self.tensors[f"{name}/clusters"].tolist()):
            m = vectors.shape[1]
            encoder[i, order[cluster * m : (cluster + 1) * m]] = vectors[i]
        return encoder, encoder.T

    def fingerprint(self) -> bytes:
        digest = hashlib.sha256(self.text.encode())
        lowest, tables = self.tables()
        for site in self.plan["sites"]:
            name = site["site"]
            step, q_min, q_max = self.quantizers(site)
            classes = self.classes(site)
            parts = {
                "step": step,
                "q_min": q_min.astype("<i4"),
                "q_max": q_max.astype("<i4"),
                "class_of": np.array(classes, np.uint8),
            }
            if site["transform"] != "identity":
                encoder, decoder = self.matrices(site)
                parts |= {"projection.encoder": encoder, "projection.decoder": decoder}
                for key in ("offset", "mean"):
                    parts[f"projection.{key}"] = self.tensors[f"{name}/{key}"].float().numpy()
            digest.update(name.encode())
            for key, value in parts.items():
                digest.update(f"{key}{value.shape}".encode() + value.tobytes())
            digest.update(np.array(tables, "<u2").tobytes() + struct.pack("<i", lowest))
            digest.update(self.tensors["tables/table_of"].numpy()[classes].tobytes())
        return digest.digest()[:16]

    def symbols(self, site: dict[str, Any], payload: bytes, shape: list[int]) -> Symbols:
        """Coder 2; sites of this size have one stream and one lane."""
        n, k, *spatial = shape
        *above, width = spatial or [1]
        height = math.prod(above)
        assert n * k * height * width < 2 * 2048
        lowest, tables = self.tables()
        levels = len(tables[0]) - 1
        escape_bits = math.ceil(math.log2(levels))
        classes, table_of = self.classes(site), self.tensors["tables/table_of"].tolist()
        (x,) = struct.unpack_from("<I", payload)
        words = iter(struct.unpack(f"<{len(payload) // 2 - 2}H", payload[4:]))
        planes = np.zeros((n * k, height, width), np.int64)
        for row, plane in enumerate(planes):
            for line in range(height):
                for column in range(width):
                    left = plane[line, column - 1] if column else 0
                    up = plane[line - 1, column] if line else 0
                    context = 5 * (min(max(left, -2), 2) + 2) + min(max(up, -2), 2) + 2
                    f = tables[table_of[classes[row % k]][int(context)]]
                    slot, entry, c = x % 4096, 0, 0
                    while slot >= c + f[entry]:
                        c, entry = c + f[entry], entry + 1
                    x = f[entry] * (x // 4096) + slot - c
                    x = x * 65536 + next(words) if x < 65536 else x
                    if entry == levels:
                        slot, w = x % 4096, 2 ** (12 - escape_bits)
                        entry, x = slot // w, w * (x // 4096) + slot % w
                        x = x * 65536 + next(words) if x < 65536 else x
                    plane[line, column] = lowest + entry
        assert (x, list(words)) == (65536, [])
        return planes.reshape(shape)

    def values(self, site: dict[str, Any], q: Symbols) -> NDArray[np.float32]:
        step, q_min, q_max = self.quantizers(site)
        per_component = (1, -1, *[1] * (q.ndim - 2))
        low, high = q_min.reshape(per_component), q_max.reshape(per_component)
        assert (low <= q).all()
        assert (q <= high).all()
        y = q * step.reshape(per_component)
        if site["transform"] == "identity":
            return y
        offset = self.tensors[f"{site['site']}/offset"].float().numpy()
        x = np.einsum("ck,nk...->nc...", self.matrices(site)[1], y)
        x += offset.reshape(per_component)
        return x

    def frames(self, stream: bytes) -> Iterator[dict[str, NDArray[np.float32]]]:
        assert stream[:8] == b"\x89apz\r\n\x1a\n"
        version, zero, s = struct.unpack_from("<HHI", stream, 8)
        assert (version, zero) == (2, 0)
        assert stream[16:32].hex() == self.plan["fingerprint"][:32]
        assert stream[32:48] == self.fingerprint()
        sites = [self.plan["sites"][i] for i in struct.unpack_from(f"<{s}H", stream, 48)]
        at = 48 + 2 * s
        (link,) = struct.unpack_from("<I", stream, at)
        assert link == zlib.crc32(stream[:at])
        at, index = at + 4, 0
        while True:
            n, crc = struct.unpack_from("<II", stream, at)
            begin = at = at + 8
            if n == 0:
                break
            numbers = []
            for _ in range(s + 1):
                value, at = number(stream, at)
                numbers.append(value)
            assert crc == zlib.crc32(struct.pack("<II", link, n) + stream[begin:at])
            assert numbers[0] == index
            found, heads = {}, b""
            for site, length in zip(sites, numbers[1:], strict=True):
                record, at = stream[at : at + length], at + length
                heads += record[:4]
                found[site["site"]] = self.record(site, record, n)
            link, index = zlib.crc32(heads, crc), index + 1
            yield found
        assert crc == zlib.crc32(struct.pack("<II", link, 0) + stream[at:])
        assert stream[at:] == struct.pack("<Q", index)

    def record(self, site: dict[str, Any], record: bytes, n: int) -> NDArray[np.float32]:
        assert struct.unpack_from("<I", record) == (zlib.crc32(record[4:]),)
        coder, axes = record[4:6]
        assert coder == 2
        shape, at = [], 6
        for _ in range(axes):
            size, at = number(record, at)
            shape.append(size)
        assert shape[:2] == [n, site["rank"]]
        return self.values(site, self.symbols(site, record[at:], shape))


@pytest.mark.parametrize(
    ("transform", "options"),
    [
        (Transform.PCA, {"rank": 5}),
        (Transform.IDENTITY, {"placement": Placement.POST_ACT}),
        (Transform.LEARNED, {"rank": 6, "coarseness": 0.1}),
        (Transform.SCALED_PCA, {}),
        (Transform.BLOCK_PCA, {"rank": 7}),
    ],
)
def test_a_decoder_that_follows_the_format_gives_what_the_library_gives(
    make_pressed: MakePressed,
    images: Tensor,
    tmp_path: Path,
    transform: Transform,
    options: dict[str, Any],
) -> None:
    pressed = make_pressed(transform, **options)
    save_model(pressed, tmp_path)
    file = io.BytesIO()
    with Encoder(pressed, file) as encoder:
        encoder.encode(images[:2])
        encoder.encode(images[2:5])

    found = list(Book.open(tmp_path).frames(file.getvalue()))

    expected = list(Decoder(pressed, io.BytesIO(file.getvalue())))
    assert len(found) == len(expected) == 2
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.keys() == theirs.keys()
        for name, value in theirs.items():
            assert np.allclose(mine[name], value, rtol=1e-4, atol=1e-5), name
