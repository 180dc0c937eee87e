"""Gather the texts that the embedded model is trained on.

    python data.py --texts texts.tar.gz --books DIR --teacher DIR --out WORK

reads the stories, neutral texts and chats of the repository (emotion/corpus.tar.gz),
the scenes, chats and sayings that were written for the training (texts.tar.gz), and
public-domain books (plain text files in DIR), and writes to WORK: the tokenizer, the
texts with their labels, the teacher's sentence embeddings, and a manifest with the
hash of every source. What is on the six unseen topics is dropped here, once, and
nothing later sees it.
"""
import argparse
import glob
import hashlib
import io
import json
import os
import re
import shutil
import tarfile

import torch
import torch.nn.functional as F

UNSEEN = ["cafe", "court", "hotel", "interview", "machine", "night"]
HERE = os.path.dirname(os.path.abspath(__file__))


def sha256(path):
    return hashlib.sha256(open(path, "rb").read()).hexdigest()


def sentences(text):
    """Sentences of a text, cut behind . ! ? and a closing quotation mark."""
    return [s for s in re.split(r"(?<=[.!?\"])\s+(?=[A-Z\"'])", text) if s]


def sections(text):
    for part in re.split(r"(?m)^## ", text)[1:]:
        head, body = part.split("\n", 1)
        yield head.strip(), body.strip()


def read_tar(path):
    with tarfile.open(path) as t:
        for m in t.getmembers():
            if m.isfile():
                yield m.name, t.extractfile(m).read().decode()


def corpus(path):
    """The repository's stories (seen topics only), neutral texts and chats."""
    files = dict(read_tar(path))
    root = next(n for n in files if n.endswith("emotions.txt"))[: -len("emotions.txt")]
    emotions = files[root + "emotions.txt"].split("\n")
    emotions = [e.strip() for e in emotions if e.strip()]
    stories, unseen, neutral, chats = [], [], [], []
    for i, e in enumerate(emotions):
        name = e.replace(" ", "-") + ".txt"
        for topic, body in sections(files[root + "stories/" + name]):
            (unseen if topic in UNSEEN else stories).append({"kind": "story", "text": body, "label": i, "topic": topic})
        chats.append({"kind": "chat", "text": files[root + "dialogues/" + name].strip(), "label": i})
    for n, t in sorted(files.items()):
        m = re.search(r"neutral/([a-z]+)\.txt$", n)
        if m and m[1] not in UNSEEN:
            for kind, body in sections(t):
                neutral.append({"kind": "neutral-" + kind, "text": body, "label": -1})
    return emotions, stories, unseen, neutral, chats


def written(path, emotions):
    """Scenes, chats and sayings written for the training."""
    index = {e: i for i, e in enumerate(emotions)}
    scenes, chats, sayings, skipped = [], [], [], 0
    for name, text in sorted(read_tar(path)):
        base = os.path.basename(name)
        for group, part in enumerate(re.split(r"(?m)^== ", text)[1:]):
            head, _, body = part.strip().partition("\n")
            if base.startswith("scenes"):
                for line in body.split("\n"):
                    e, colon, rest = line.partition(": ")
                    if not line.strip():
                        continue
                    if e not in index or not colon:
                        skipped += 1
                        continue
                    scenes.append({"kind": "scene", "opening": head.strip(), "text": rest.strip(),
                                   "label": index[e], "group": f"{base}#{group}"})
            elif base.startswith("chats"):
                e = head.strip()
                if e not in index:
                    skipped += 1
                    continue
                lines = [l for l in body.split("\n") if l.strip()]
                feeling = [l[9:] for l in lines if l.startswith("Feeling: ")]
                talk = "\n".join(l for l in lines if not l.startswith("Feeling: "))
                chats.append({"kind": "chat", "text": talk, "label": index[e], "feeling": feeling[0] if feeling else ""})
            elif base.startswith("sayings"):
                e = head.strip()
                if e not in index:
                    skipped += 1
                    continue
                for line in body.split("\n"):
                    if line.strip():
                        sayings.append({"kind": "saying", "text": line.strip(), "label": index[e]})
            elif base.startswith("neutral"):
                if body.startswith("User:"):
                    chats.append({"kind": "neutral-chat", "text": body.strip(), "label": -1})
                else:
                    sayings.append({"kind": "prose", "text": body.strip(), "label": -1})
    return scenes, chats, sayings, skipped


def pleasant(path, emotions):
    """Whether a feeling is good (1), bad (0) or neither (1/2) to have, in the judgement
    of pleasant.txt, which was written for this training without looking at any ratings."""
    value, out = {"good": 1.0, "neither": 0.5, "bad": 0.0}, {}
    for line in open(path):
        head, _, names = line.partition(": ")
        out.update((e.strip(), value[head]) for e in names.split(","))
    assert sorted(out) == sorted(emotions), "pleasant.txt must name every feeling once"
    return [out[e] for e in emotions]


def books(folder, words=120):
    out = []
    for path in sorted(glob.glob(os.path.join(folder, "*.txt"))):
        text = re.sub(r"[ \t]*\n[ \t]*(?!\n)", "\n", open(path, encoding="utf-8").read())
        paras = [re.sub(r"\s+", " ", p).strip() for p in re.split(r"\n\s*\n", text)]
        piece, n = [], 0
        for p in paras:
            p = p.replace("--", " – ").replace("_", "")
            for s in re.split(r"(?<=[.!?”\"])\s+", p):
                k = len(s.split())
                if n + k > words and n > 40:
                    out.append({"kind": "book", "text": " ".join(piece), "label": -1})
                    piece, n = [], 0
                if k < words:
                    piece.append(s)
                    n += k
    return out


def train_tokenizer(texts, path, size):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=SPECIAL,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tok.train_from_iterator(texts, trainer)
    tok.save(path)
    return tok


# Control tokens: a text begins with BEGIN; END closes a turn or a text.
SPECIAL = ["<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--texts", default=os.path.join(HERE, "texts.tar.gz"))
    a.add_argument("--books", required=True)
    a.add_argument("--teacher", required=True)
    a.add_argument("--out", required=True)
    a.add_argument("--vocab", type=int, default=6144)
    a.add_argument("--first", action="store_true", help="only the first half of the scenes (files 1 to 8)")
    a.add_argument("--tokenizer", help="keep this tokenizer.json instead of training one")
    a = a.parse_args()
    os.makedirs(a.out, exist_ok=True)
    corpus_path = os.path.join(HERE, "../../emotion/corpus.tar.gz")
    emotions, stories, unseen, neutral, chats = corpus(corpus_path)
    good_path = os.path.join(HERE, "pleasant.txt")
    good = pleasant(good_path, emotions)
    scenes, more, sayings, skipped = written(a.texts, emotions)

    def early(group):
        return int(re.match(r"scenes(\d+)-", group)[1]) <= 8

    if a.first:
        scenes = [s for s in scenes if early(s["group"])]
    chats += more
    pieces = books(a.books)
    print(f"{len(stories)} stories ({len(unseen)} unseen), {len(scenes)} scenes, {len(chats)} chats, "
          f"{len(sayings)} sayings, {len(neutral)} neutral, {len(pieces)} pieces of books; {skipped} lines skipped")
    # Every tenth opening is kept for choosing settings: not trained on.
    groups = sorted({s["group"] for s in scenes})
    dev = {g for half in (True, False) for i, g in enumerate(g for g in groups if early(g) == half) if i % 10 == 9}
    docs = stories + [s for s in scenes if s["group"] not in dev] + chats + sayings + neutral + pieces
    held = [s for s in scenes if s["group"] in dev]

    def full(d):
        return d["opening"] + " " + d["text"] if d["kind"] == "scene" else d["text"]

    names = [f" {w}" for e in emotions for w in (e, e, e, e, e, e, e, e)] * 40
    words = [full(d) for d in docs if d["kind"] != "book"] * 4 + [full(d) for d in docs if d["kind"] == "book"]
    path = os.path.join(a.out, "tokenizer.json")
    if a.tokenizer:
        from tokenizers import Tokenizer

        shutil.copyfile(a.tokenizer, path)
        tok = Tokenizer.from_file(path)
    else:
        tok = train_tokenizer(words + ["She feels" + n for n in names], path, a.vocab)
    lens = [len(tok.encode(d["text"]).ids) for d in stories]
    print("tokens a story", sum(lens) / len(lens), "emotion words of one token",
          sum(len(tok.encode(" " + e).ids) == 1 for e in emotions))

    from teacher import MiniLM
    teacher = MiniLM(a.teacher)
    cache_path = os.path.join(a.out, "teacher.pt")
    cache = torch.load(cache_path) if os.path.exists(cache_path) else {}
    todo = sorted({full(d) for d in docs if d["kind"] in ("story", "scene", "chat", "book", "prose")} - set(cache), key=len)
    if todo:
        vectors = teacher.embed(todo)
        cache.update(zip(todo, vectors))
        torch.save(cache, cache_path)
    for d in docs:
        d["teacher"] = cache.get(full(d))
    # Sentence by sentence, for the texts whose feeling is known.
    path = os.path.join(a.out, "sentences.pt")
    known = torch.load(path) if os.path.exists(path) else {}
    todo = sorted({s for d in docs if d["kind"] in ("story", "scene") for s in sentences(full(d))} - set(known), key=len)
    if todo:
        known.update(zip(todo, teacher.embed(todo, 256).half()))
        torch.save(known, path)
    # Names of emotions that are told of in similar words: how the label is softened.
    rows = [(d["label"], d["teacher"]) for d in docs if d["label"] >= 0 and d["teacher"] is not None]
    y = torch.tensor([r[0] for r in rows])
    x = torch.stack([r[1] for r in rows])
    mean = torch.stack([d["teacher"] for d in docs if d["teacher"] is not None]).mean(0)
    x = x - x.mean(0)
    c = F.normalize(torch.stack([x[y == k].mean(0) for k in range(len(emotions))]), dim=1)
    similar = c @ c.T
    torch.save({"docs": docs, "dev": held, "emotions": emotions, "pleasant": good, "similar": similar, "teacher_mean": mean,
                "unseen": unseen, "sentences": known}, os.path.join(a.out, "data.pt"))
    manifest = {"sources": {}, "texts": {}, "unseen_topics": UNSEEN}
    for p in [corpus_path, a.texts, good_path] + sorted(glob.glob(os.path.join(a.books, "*.txt"))) + [os.path.join(a.teacher, "model.safetensors")]:
        manifest["sources"][os.path.basename(p)] = {"bytes": os.path.getsize(p), "sha256": sha256(p)}
    for d in docs:
        m = manifest["texts"].setdefault(d["kind"], {"texts": 0, "words": 0})
        m["texts"] += 1
        m["words"] += len(full(d).split())
    manifest["kept_for_choosing_settings"] = {"scenes": len(held), "openings": len(dev)}
    json.dump(manifest, open(os.path.join(a.out, "manifest.json"), "w"), indent=1)


if __name__ == "__main__":
    main()
