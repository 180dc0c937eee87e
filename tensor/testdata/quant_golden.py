"""Golden files for the storage formats. See README.md.

The blocks are random bytes, so that every bit of every field is seen, except
that scales are finite: some are ordinary, some zero, subnormal or the largest.
"""

import os
import sys

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T, quants

# Per type, the byte offsets of the float16 scales in a block.
TYPES = {
    T.F32: None, T.F16: None, T.BF16: None,
    T.Q8_0: [0], T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2],
    T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208],
    T.IQ4_NL: [0], T.IQ4_XS: [0],
}
WRITTEN = [T.F32, T.F16, T.BF16, T.Q8_0, T.Q4_0]

# Zero, both signs of the smallest and largest subnormal, smallest normal, one
# and the largest float16.
EXTREME = [0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x83FF, 0x0400, 0x3C00, 0xBC00, 0x7BFF, 0xFBFF]


def scales(rng, n):
    s = (rng.standard_normal(n) * 2.0 ** rng.integers(-12, 3, n)).astype(np.float16).view(np.uint16)
    some = rng.random(n) < 0.4
    s[some] = rng.choice(np.array(EXTREME, np.uint16), some.sum())
    return s


def blocks(rng, t, elements):
    block, size = GGML_QUANT_SIZES[t]
    n = elements // block
    if t == T.F32:
        x = np.concatenate([inputs(rng, elements - 8), edges32()])
        return x.view(np.uint8)
    if t == T.F16:
        return np.concatenate([scales(rng, n - 4), np.array([0x7C00, 0xFC00, 0x7BFF, 0x03FF], np.uint16)]).view(np.uint8)
    if t == T.BF16:
        x = np.concatenate([inputs(rng, elements - 8), edges32()])
        return (x.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
    b = rng.integers(0, 256, (n, size), np.uint8)
    b[0] = 0
    b[1] = 0xFF
    for o in TYPES[t]:
        b[:, o:o + 2] = scales(rng, n).reshape(n, 1).view(np.uint8)
        b[1, o:o + 2] = 0xFF, 0xFB  # −65504: with all other bits set, the largest values there are
    return b.reshape(-1)


def edges32():
    return np.array([0, 0x80000000, 1, 0x807FFFFF, 0x00800000, 0x7F7F0000, 0xFF7F0000, 0x7F800000], np.uint32).view(np.float32)


def inputs(rng, n):
    return (rng.standard_normal(n) * 2.0 ** rng.integers(-20, 12, n)).astype(np.float32)


def fused(rng):
    """A block that Q4_0 stores differently if x/d + 8.5 is rounded only once."""
    while True:
        top = np.float32(rng.uniform(0.5, 1))
        inverse = np.float32(1) / (top / np.float32(-8))
        level = rng.integers(1, 16, 1 << 14) - 8.5
        x = (level * (1 + rng.uniform(-1, 1, level.size) * 2.0 ** -20) / inverse).astype(np.float32)
        once = (x.astype(np.float64) * np.float64(inverse) + 8.5).astype(np.float32)
        x = x[np.trunc(once) != np.trunc(x * inverse + np.float32(8.5))]
        if x.size:
            return np.concatenate([[top], np.resize(x, 31)])


def quant_inputs(rng):
    """Blocks of 32 that a quantiser may find difficult."""
    b = [rng.standard_normal(32 * 24) * 0.03]
    b += [rng.standard_normal(32) * 2.0 ** k for k in range(-30, 14, 2)]
    for top in (127, -127, 8, -8, 254, 1016):  # multiples of halves and quarters of the step: ties
        x = np.round(rng.uniform(-1, 1, 32) * abs(top) * 4) / 4 / 8
        x[rng.integers(32)] = top / 8
        b.append(x)
    b.append(np.zeros(32))
    b.append(np.full(32, -0.37))
    b.append(np.array([1.0, -1.0] * 16))  # the first of equals counts
    b.append(np.array([-1.0, 1.0] * 16))
    b.append(np.eye(32)[7] * -60000)
    b.append(np.eye(32)[31] * 3e-7)
    b.append(rng.standard_normal(32) * 1e-9)  # the scale underflows in float16
    b.append(rng.standard_normal(32) * 1e-36)
    b.append(np.array([1e-45, -1e-45] * 16))  # the scale is zero in float32
    b.append(rng.standard_normal(32) * 1e-39 + 2e-39)  # 1/scale overflows
    b.append(np.linspace(-65504, 65504, 32))
    b += [fused(rng) for _ in range(4)]
    # float16: ties between neighbours, both ways, and the ends of its range.
    b.append(np.array([1 + 1 / 2048, 1 + 3 / 2048, 65519, -65519, 2.0 ** -25, 3 * 2.0 ** -25, 2.0 ** -24 * 1.5, 2.0 ** -14 - 2.0 ** -25] * 4))
    # bfloat16: ties.
    b.append(np.array([1 + 1 / 256, 1 + 3 / 256, -1 - 1 / 256, 1 + 1 / 256 + 2.0 ** -23, 1e38 / 2 ** 112, 7, 8, 9] * 4))
    return np.concatenate(b).astype(np.float32)


def main(elements):
    os.makedirs("dequant", exist_ok=True)
    os.makedirs("quant", exist_ok=True)
    rng = np.random.default_rng(171)
    for t in TYPES:
        n = elements if GGML_QUANT_SIZES[t][0] == 256 else elements // 4
        b = blocks(rng, t, n)
        b.tofile(f"dequant/{t.name}.blocks")
        y = quants.dequantize(b, t)
        assert y.dtype == np.float32 and y.size == n
        if t not in (T.F32, T.F16, T.BF16):
            assert np.isfinite(y).all()
        y.tofile(f"dequant/{t.name}.f32")
    x = quant_inputs(rng)
    x.tofile("quant/input.f32")
    with np.errstate(all="ignore"):
        for t in WRITTEN:
            quants.quantize(x, t).tofile(f"quant/{t.name}.blocks")


main(int(sys.argv[1]) if len(sys.argv) > 1 else 4096)
