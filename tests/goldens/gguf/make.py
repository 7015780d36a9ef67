"""Makes the GGUF files that sprat-model's reader is checked against.

The `gguf` package of llama.cpp writes the files and computes the expected values. Run it from
anywhere:

    pip install gguf==0.19.0 safetensors==0.8.0 numpy==2.4.6
    python tests/goldens/gguf/make.py

    kinds.gguf            one tensor per storage type, of random blocks
    expected.safetensors  the same tensors as `gguf.quants.dequantize` gives them, float32
    complete.gguf         every type of metadata value, an alignment of 64, tensors of rank 1 to 4

Random bytes are SHAKE-256 of a tensor's name, so no generator has to stay the same. A block's scales
are not random, because half of all f16 bit patterns are larger than any model's: they are the ones
in SCALES in turn, and each block has others.
"""

import hashlib
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Kind
from gguf import GGUFReader, GGUFValueType, GGUFWriter
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize
from safetensors.numpy import load_file, save_file

HERE = Path(__file__).parent
# Ordinary, negative, zero, negative zero, subnormal (the smallest, then a larger one), largest.
SCALES = np.array([0.0123, -0.75, 0.0, -0.0, 2.0**-24, 1e-5, 65504.0], dtype=np.float16)
# Where a block of each type keeps its f16 scales, in bytes.
SCALES_AT = {
    Kind.Q4_0: (0,),
    Kind.Q4_1: (0, 2),
    Kind.Q5_0: (0,),
    Kind.Q5_1: (0, 2),
    Kind.Q8_0: (0,),
    Kind.Q4_K: (0, 2),
    Kind.Q5_K: (0, 2),
    Kind.Q6_K: (208,),
}
# Bit patterns that random bytes are unlikely to hit: zeros, subnormals, extremes, infinities, a
# quiet NaN. Conversions to float32 may only differ in the bits of signaling NaNs, so f16 has none.
SPECIAL = {
    Kind.F32: np.array([0, 1 << 31, 1, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000], np.uint32),
    Kind.F16: np.array([0, 1 << 15, 1, 0x83FF, 0x0400, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00], np.uint16),
    Kind.BF16: np.array([0, 1 << 15, 1, 0x807F, 0x7F7F, 0x7F80, 0xFF80, 0x7FC0, 0x7F81, 0xFFFF], np.uint16),
}
FLOATS = 48


def random(name, count):
    return np.frombuffer(hashlib.shake_256(name.encode()).digest(count), dtype=np.uint8).copy()


def floats(kind):
    """FLOATS values as bytes: the special ones, then random ones; in f16 those are finite."""
    special = SPECIAL[kind]
    values = random(kind.name, FLOATS * special.itemsize).view(special.dtype)
    if kind == Kind.F16:
        values[values & 0x7C00 == 0x7C00] ^= 0x4000
    values[: len(special)] = special
    return values.view(np.uint8).reshape(2, -1)


def blocks(kind):
    """One random block per scale, a row each; a second scale is two places further on the list."""
    rows = random(kind.name, len(SCALES) * GGML_QUANT_SIZES[kind][1]).reshape(len(SCALES), -1)
    for number, at in enumerate(SCALES_AT[kind]):
        rows[:, at : at + 2] = np.roll(SCALES, -2 * number).reshape(-1, 1).view(np.uint8)
    return rows


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make_kinds():
    writer, expected = GGUFWriter(HERE / "kinds.gguf", "sprat"), {}
    for kind in (*SPECIAL, *SCALES_AT):
        data = floats(kind) if kind in SPECIAL else blocks(kind)
        writer.add_tensor(kind.name, data, raw_dtype=kind)
        expected[kind.name] = np.ascontiguousarray(dequantize(data, kind), dtype=np.float32)
        if kind in SCALES_AT:
            assert np.isfinite(expected[kind.name]).all(), kind
    finish(writer)
    save_file(expected, HERE / "expected.safetensors")

    # Both files must give the same again.
    read = {tensor.name: tensor for tensor in GGUFReader(HERE / "kinds.gguf").tensors}
    loaded = load_file(HERE / "expected.safetensors")
    assert list(read) == [kind.name for kind in (*SPECIAL, *SCALES_AT)]
    for name, tensor in read.items():
        again = dequantize(np.ascontiguousarray(tensor.data), tensor.tensor_type)
        assert again.tobytes() == loaded[name].tobytes(), name


def make_complete():
    writer = GGUFWriter(HERE / "complete.gguf", "llama")
    writer.add_custom_alignment(64)
    T = GGUFValueType
    scalars = {
        T.UINT8: 200,
        T.INT8: -100,
        T.UINT16: 60_000,
        T.INT16: -30_000,
        T.UINT32: 4_000_000_000,
        T.INT32: -2_000_000_000,
        T.UINT64: 2**64 - 1,
        T.INT64: -(2**63),
        T.FLOAT32: 1e-5,
        T.FLOAT64: 0.1,
        T.BOOL: True,
        T.STRING: "grüße, 世界 🐟",
    }
    for kind, value in scalars.items():
        writer.add_key_value(f"one.{kind.name}", value, kind)
        writer.add_key_value(f"many.{kind.name}", [value] * 2, T.ARRAY, sub_type=kind)
    writer.add_key_value("many.ARRAY", [[1, 2], [3]], T.ARRAY)
    writer.add_key_value("empty.STRING", "", T.STRING)

    writer.add_tensor("norm", np.arange(3, dtype=np.float32))
    writer.add_tensor("matrix", np.arange(6, dtype=np.float16).reshape(2, 3))
    writer.add_tensor("cube", np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    writer.add_tensor("four", np.arange(24, dtype=np.float32).reshape(4, 3, 2, 1))
    ones = np.concatenate([np.float16(1).reshape(1).view(np.uint8), np.arange(32, dtype=np.uint8)])
    writer.add_tensor("blocks", np.stack([ones, ones, ones]), raw_dtype=Kind.Q8_0)
    finish(writer)


def main():
    make_kinds()
    make_complete()
    for path in sorted(HERE.glob("*.*")):
        if path.suffix != ".py":
            path.chmod(0o644)
            print(f"{path.name:20} {path.stat().st_size:6} bytes")


if __name__ == "__main__":
    main()
