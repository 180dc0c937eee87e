"""Arrays as NumPy writes them. See README.md."""

import numpy as np

inf, nan = float("inf"), float("nan")
arrays = {
    "float32": np.array([[0, -0.0, 1.5], [inf, -inf, 1e-45]], np.float32),
    "float64": np.array([0.1, -1e300, 5e-324]),
    "int32": np.array([[[-(2**31)], [2**31 - 1]]], np.int32),
    "int64": np.array([-(2**63), 0, 2**63 - 1]),
    "scalar": np.array(2.5),
    "empty": np.zeros((0, 3), np.float32),
    "text": np.array([["", "joy"], ["Weltschmerz", "日本😀"]]),
}
for name, a in arrays.items():
    np.save(name + ".npy", a)
np.savez("stored.npz", **arrays)
np.savez_compressed("deflated.npz", **arrays, long=np.arange(20000, dtype=np.int32) % 100)

with open("version2.npy", "wb") as f:
    np.lib.format.write_array(f, arrays["float64"], version=(2, 0))

# What is refused.
np.save("fortran.npy", np.asfortranarray(np.zeros((2, 3), np.float32)))
np.save("bigendian.npy", np.zeros(2, ">f4"))
np.save("object.npy", np.array([{}, None]), allow_pickle=True)
np.save("structured.npy", np.zeros(2, [("a", "<f4"), ("b", "<i4")]))
np.save("half.npy", np.zeros(2, np.float16))
