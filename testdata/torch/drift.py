"""What weight quantisation costs, beside what the rounding of activations costs.

    python3 drift.py --limbic ./limbic --out RESULT.json BASE-F32.gguf Q8_0.gguf Q4_K_M.gguf ... \
        [--topics school,sea,cafe] [--test night] [--emotions a,b]

All files hold the same model; the first is in float32 (or F16), where every precision is
exact. Vectors are built with every file in every precision, at the default site, and tested
on the topics that were left out. The figures: cosines of the vectors with those of the first
file, and held-out identification.
"""
import argparse
import datetime
import json
import os
import subprocess
import tempfile

import numpy as np
import safetensors.numpy

from engine import save


def limbic(a, *args):
    return json.loads(subprocess.run([a.limbic, *args, "--json"], check=True, stdout=subprocess.PIPE).stdout)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("models", nargs="+")
    a.add_argument("--limbic", default="limbic")
    a.add_argument("--out", required=True)
    a.add_argument("--topics", default="")
    a.add_argument("--test", default="cafe,court,hotel,night,interview,machine")
    a.add_argument("--emotions", default="")
    a = a.parse_args()
    some = ["--topics", a.topics + "," + a.test] if a.topics else []
    some += ["--emotions", a.emotions] if a.emotions else []
    result, base = {"date": datetime.date.today().isoformat(), "rows": []}, None
    with tempfile.TemporaryDirectory() as tmp:
        for model in a.models:
            about = limbic(a, "info", model)
            for precision in ["exact"] if about["quantisation"].startswith(("F32", "F16", "BF16")) else ["exact", "probe", "fast"]:
                out = os.path.join(tmp, "v.safetensors")
                built = limbic(a, "vectors", "build", model, "--sites", "67%", "--exclude-topics", a.test, *some,
                               "--precision", precision, "--out", out)
                tested = limbic(a, "vectors", "eval", model, out, "--topics", a.test, "--precision", precision)
                site = built["sites"][0].replace(":", ".")
                v = {k: x.astype(np.float64) for k, x in safetensors.numpy.load_file(out).items()}
                forms = {f: v[f"{site}/{f}"] for f in ("mean", "contrast", "denoised")}
                base = base or forms
                row = {"file": os.path.basename(model), "sha256": about["sha256"], "quantisation": about["quantisation"],
                       "bytes": os.path.getsize(model), "precision": precision, "site": built["sites"][0],
                       "stories": built["stories"], "test_stories": tested["n"]}
                for f, x in forms.items():
                    y = base[f]
                    c = (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
                    row[f] = {"mean_cosine": float(c.mean()), "least_cosine": float(c.min())}
                for k in ("top1", "top5", "family"):
                    row[k] = tested[k]
                result["rows"].append(row)
                print(json.dumps(row))
                save(a.out, result)
                for name in os.listdir(tmp):
                    os.remove(os.path.join(tmp, name))


if __name__ == "__main__":
    main()
