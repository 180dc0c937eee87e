"""Files as the reference implementation writes them. See README.md."""

import numpy as np
from safetensors import TensorSpec, serialize_file
from safetensors.numpy import save_file

inf = float("inf")

# Every type that NumPy has, in the order in which the library lays them out.
save_file(
    {
        "f64": np.array([[0.1, -1e300]], np.float64),
        "i64": np.array([-(2**63), 2**63 - 1], np.int64),
        "f32": np.array([[0, -0.0, 1.5], [inf, -inf, 1e-45]], np.float32),
        "i32": np.array([-(2**31), 2**31 - 1], np.int32),
        "u32": np.array([0, 2**32 - 1], np.uint32),
        "f16": np.array([1, -0.5, 65504, 6e-8], np.float16),
        "i16": np.array([-(2**15), 2**15 - 1], np.int16),
        "u16": np.array([0, 2**16 - 1], np.uint16),
        "i8": np.array([-128, 127], np.int8),
        "u8": np.array([0, 255], np.uint8),
        "bool": np.array([True, False, True]),
        "scalar": np.array(2.5, np.float32),
        "empty": np.zeros((0, 3), np.float32),
    },
    "types.safetensors",
    {"format": "np"},
)

# One type, so that the library keeps the order of names, and text that needs
# escapes. Only one entry of metadata: with more, its order is random.
save_file(
    {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        'b "quoted" \\ <&> \n é 😀': np.array([7], np.float32),
    },
    "text.safetensors",
    {"vectors": '{"emotion": "joy & <grief>", "é": "\t"}'},
)

# bfloat16, which NumPy lacks.
bf16 = np.array([0x3F80, 0xC000, 0x7F7F, 0x0001], np.uint16)
spec = TensorSpec(dtype="bfloat16", shape=[2, 2], data_ptr=bf16.ctypes.data, data_len=bf16.nbytes)
serialize_file({"bf16": spec}, "bf16.safetensors", None)
