"""The whole recipe of limbic, done anew in PyTorch and compared with what limbic gives.

    limbic vectors build MODEL.gguf --topics school,sea,cafe --precision exact --out V.safetensors
    python3 recipe.py MODEL.gguf V.safetensors --limbic ./limbic --out RESULT.json

The same stories go through the same weights, dequantised to float32, with plain hooks on
the blocks, one text at a time. From the hooks' states this script computes, in float64 and
by the recipe as README.md states it: means, contrast within hands, the neutral components
and the denoised vectors, and the norm calibration. Nothing of V.safetensors is used but the
names of its stories' topics. Then it steers with its own vectors, and compares logits.

--slice FILE keeps some numbers of it, for a test that needs no PyTorch.
"""
import argparse
import datetime
import hashlib
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time

import numpy as np
import safetensors.numpy
import torch
import transformers

from corpus import Corpus
from engine import Engine, save

FROM = 50  # the first token of a text that is pooled, counted from 1 without BOS
SHARE = 0.5  # of the neutral variance goes
TEXTS = ["The step creaked again. She pulled the blanket over her head.",
         "He opened the letter, read it twice, and began to laugh.",
         "The meeting starts at nine, and the room is on the second floor."]
STEER = [("afraid", 0.1), ("calm", -0.1), ("angry", 0.5)]
SLICE = ["afraid", "calm", "desperate", "happy", "proud", "sad"]  # emotions of --slice
COMPONENTS = 5  # of each


class States:
    """Plain hooks on the blocks: out[b] is the residual stream after block b, [tokens, width]."""

    def __init__(self, engine):
        self.out = [None] * engine.blocks
        for b, layer in enumerate(engine.layers()):
            layer.register_forward_hook(lambda _m, _i, o, b=b: self.keep(b, o))

    def keep(self, b, o):
        self.out[b] = (o[0] if isinstance(o, tuple) else o)[0].double().numpy()


def cosines(a, b):
    """Row by row."""
    return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


def components(texts):
    """The fewest principal components of the centred rows that hold SHARE of the variance."""
    x = texts - texts.mean(0)
    _, s, vt = np.linalg.svd(x, full_matrices=False)
    held = np.cumsum(s**2) / np.sum(s**2)
    return vt[:int(np.searchsorted(held, SHARE)) + 1]


def pooled(text):
    """In a worker: pooled means [blocks, width] of a text, None where it is too short, and
    the norms at every position but the first, [blocks, positions]."""
    skip = 1 if ENGINE.adds_bos else 0
    ids = ENGINE.encode(text)
    ENGINE.model.model(torch.tensor([ids]), use_cache=False)
    h = np.stack(STATES.out)
    norms = np.linalg.norm(h[:, 1:], axis=2)
    return (h[:, skip + FROM - 1:].mean(1) if len(ids) - skip >= FROM else None), norms


def recipe(e, corpus, jobs):
    """raw, contrast, denoised: [blocks, emotions, width]; norms: [blocks, positions]."""
    global ENGINE, STATES
    ENGINE, STATES = e, States(e)
    texts = [s[3] for s in corpus.stories] + [text for _, text in corpus.neutral]
    torch.set_num_threads(1)  # the workers share the processor, and are forked
    start, got = time.time(), []
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        for result in pool.imap(pooled, texts, chunksize=4):
            got.append(result)
            if len(got) % 50 == 0:
                print(f"{len(got)} of {len(texts)} texts, {time.time() - start:.0f} s", file=sys.stderr, flush=True)
    stories, neutral = got[:len(corpus.stories)], got[len(corpus.stories):]
    means = np.stack([m for m, _ in stories if m is not None], 1)  # [blocks, stories, width]
    rows = [(corpus.emotions.index(s[0]), s[2]) for s, (m, _) in zip(corpus.stories, stories) if m is not None]
    short = len(stories) - len(rows)
    emotion = np.array([r[0] for r in rows])
    hand = np.array([r[1] for r in rows])
    norms = np.concatenate([n for _, n in neutral], 1)
    neutral = [m for m, _ in neutral if m is not None]
    neutral = np.stack(neutral, 1)

    by_emotion = lambda x: np.stack([x[:, emotion == i].mean(1) for i in range(len(corpus.emotions))], 1)
    raw = by_emotion(means)
    within = means.copy()
    for name in set(hand):
        assert len(set(emotion[hand == name])) >= 10, "too few emotions to centre within hands"
        within[:, hand == name] -= means[:, hand == name].mean(1, keepdims=True)
    contrast = by_emotion(within)
    contrast -= contrast.mean(1, keepdims=True)
    denoised, removed = contrast.copy(), []
    for b in range(e.blocks):
        u = components(neutral[b])
        removed.append(len(u))
        denoised[b] -= contrast[b] @ u.T @ u
    return dict(raw=raw, contrast=contrast, denoised=denoised, removed=removed, short=short, norms=norms)


def steered(e, text, b, vector):
    """Logits of a text, with a vector added after block b at every token but the first."""
    def add(_m, _i, o):
        h = o[0] if isinstance(o, tuple) else o
        h[:, 1:] += vector
        return o
    handle = e.layers()[b].register_forward_hook(add) if vector is not None else None
    logits = e.logits(e.encode(text)).numpy()
    if handle:
        handle.remove()
    return logits


def main():
    a = argparse.ArgumentParser()
    a.add_argument("model")
    a.add_argument("vectors")
    a.add_argument("--limbic", default="limbic")
    a.add_argument("--out", required=True)
    a.add_argument("--slice")
    a.add_argument("--jobs", type=int, default=2)
    a = a.parse_args()
    e = Engine(a.model)
    theirs = safetensors.numpy.load_file(a.vectors)
    with open(a.vectors, "rb") as f:
        n = int.from_bytes(f.read(8), "little")
        header = json.loads(json.loads(f.read(n))["__metadata__"]["limbic"])
    corpus = Corpus(header["provenance"]["topics"])
    assert header["emotions"] == corpus.emotions and header["provenance"]["precision"] == "exact"
    ours = recipe(e, corpus, a.jobs)
    result = {
        "model": e.get("general.name"), "model_sha256": hashlib.sha256(open(a.model, "rb").read()).hexdigest(),
        "date": datetime.date.today().isoformat(), "torch": torch.__version__, "transformers": transformers.__version__,
        "topics": corpus.topics, "stories": len(corpus.stories) - ours["short"], "emotions": len(corpus.emotions),
        "neutral_texts": len(corpus.neutral), "sites": e.blocks,
        "means_sha256": header["provenance"]["means_sha256"],
    }
    kept = {}
    for form in ("raw", "contrast", "denoised"):
        worst, mean, far = 2.0, [], 0.0
        for b in range(e.blocks):
            t = theirs[f"resid_post.{b}/" + {"raw": "mean"}.get(form, form)].astype(np.float64)
            c = cosines(ours[form][b], t)
            if c.min() < worst:
                worst, where = c.min(), (b, corpus.emotions[int(c.argmin())])
            mean.append(c.mean())
            far = max(far, np.linalg.norm(ours[form][b] - t) / np.linalg.norm(t))
        result[form] = {"least_cosine": float(worst), "least_at": f"resid_post:{where[0]}, {where[1]}",
                        "mean_cosine": float(np.mean(mean)), "largest_relative_error": float(far)}
        print(form, result[form])
    result["neutral_components_equal"] = [len(theirs[f"resid_post.{b}/neutral_basis"]) for b in range(e.blocks)] == ours["removed"]
    norm = ours["norms"].mean(1)
    result["norm_largest_relative_error"] = max(
        abs(norm[b] / s["norm"]["mean"] - 1) for b, s in enumerate(header["sites"]))

    site = 2 * e.blocks // 3
    result["steering"] = []
    for text in TEXTS:
        for name, strength in [(None, 0)] + STEER:
            vector, flags = None, []
            if name:
                v = ours["denoised"][site][corpus.emotions.index(name)]
                vector = torch.tensor(strength * norm[site] * v / np.linalg.norm(v), dtype=torch.float32)
                flags = ["--steer", f"{a.vectors}:{name}={strength}"]
            want = steered(e, text, site, vector)
            with tempfile.NamedTemporaryFile(suffix=".npy") as f:
                subprocess.run([a.limbic, "logits", a.model, text, "--precision", "exact", "--out", f.name, *flags],
                               check=True, stdout=subprocess.DEVNULL)
                got = np.load(f.name)
            p, q = (torch.log_softmax(torch.tensor(x[-1]).double(), -1) for x in (want, got))
            result["steering"].append({
                "text": text, "plan": f"{name}={strength}" if name else "none",
                "relative_rms": float(np.linalg.norm(want - got) / np.linalg.norm(want)),
                "relative_rms_last": float(np.linalg.norm(want[-1] - got[-1]) / np.linalg.norm(want[-1])),
                "kl_last": float((p.exp() * (p - q)).sum()),
                "same_likeliest": bool((want.argmax(1) == got.argmax(1)).all()),
            })
            print(result["steering"][-1])
    save(a.out, result)
    if a.slice:
        step = e.model.config.hidden_size // COMPONENTS
        some = lambda x: [[float(f"{v:.8g}") for v in x[corpus.emotions.index(n)][::step][:COMPONENTS]] for n in SLICE]
        kept = {k: result[k] for k in ("model", "model_sha256", "date", "torch", "transformers", "topics", "stories")}
        kept |= {"emotions": SLICE, "components": [i * step for i in range(COMPONENTS)], "sites": []}
        for b in (0, site):
            kept["sites"].append({
                "site": f"resid_post:{b}", "norm_mean": norm[b], "neutral_components": ours["removed"][b],
                **{f: some(ours[f][b]) for f in ("raw", "contrast", "denoised")},
                **{f + "_rms": float(np.sqrt((ours[f][b]**2).mean())) for f in ("raw", "contrast", "denoised")},
            })
        last = steered(e, TEXTS[0], site, torch.tensor(
            STEER[0][1] * norm[site] * (v := ours["denoised"][site][corpus.emotions.index(STEER[0][0])]) / np.linalg.norm(v),
            dtype=torch.float32))[-1]
        kept["steered"] = {"text": TEXTS[0], "emotion": STEER[0][0], "strength": STEER[0][1],
                           "every": 64, "logits": [float(f"{x:.8g}") for x in last[::64]]}
        save(a.slice, kept)


if __name__ == "__main__":
    main()
