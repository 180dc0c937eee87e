#!/usr/bin/env python3
"""Have the Python package tokenizers say what tokens are right.

usage: golden.py OUT.json.gz
       golden.py --real DIR

The first form makes small tokenizers of our own, which split and normalize as
known models do, and writes them with texts and their token ids. The second
reads DIR/NAME/tokenizer.json of published tokenizers and writes
DIR/NAME/cases.json for each: see README.md.
"""
import collections
import gzip
import json
import pathlib
import random
import sys

from tokenizers import Tokenizer

CORPUS = """the thing that they thought there, then; the other one isn't theirs
Hello hello world! I'm here, you're there, we've seen 100 and 1000 and 2024
def f(x):\n    return x + 1\n\n\nclass Camel Case camelCase HTML
é è ü ñ ça où 中文 中文字 日本語 にほん 한국어 привет мир 👍 👩‍👩‍👧 naïve
https://example.org/a/b?c=d&e=f 3.14159 $20.50 <b>bold</b> [x] {y} "quoted"
""" * 3

FIXED = [
    "", " ", "  ", "a", "the", " the", "  the", "the  ", "Hello, world!", "Hello   world", "the thing that", "\n", "\n\n", " \n ", "\t\tx",
    "I'm you're we'VE isn't 'S 's'", "1 12 123 1234 12345678 3.14 1,000", "x=1;\r\n\r\ny = 2\r\n", "a\u00a0b\u2003c\u3000d",
    "中文字 日本語にほん 한국어", "👍👩‍👩‍👧🚀", "e\u0301 e\u0301\u0323 \u0301x u\u0308ber", "é caf\u00e9 cafe\u0301 Å \u212b", "\ud55c\uad6d \u1112\u1161\u11ab",
    "camelCase HTMLParser's ABC aBC", "!!!\n\n??\n/", "      six", "\x00\x01x", "привет, мир", "a" * 40, " " * 37, "\n" * 35, "=" * 70,
    "ﬁ ½ ² Ⅷ ٣٤", ".net #tag @me", "<s>", "</s>", "a<s>b", "a <s> b", "<tool>", " <tool> ", "x  <tool>  y", "x<mask> y", "<mask>s <mask> _<mask>",
    "<|im_start|>user\nhello<|im_end|>\n", "<|begin_of_text|>", "a<|eot_id|>b", "a<|end|>\n\nb", "<|end|>  <|end|> the",
    "<tool><tool>", "the<tool>the", "<|im_start|><|im_end|>", "<to ol>", "<<tool>>",
]
POOL = ("abzthe the in er AHS sdmt're'" "'''’" "0123456789½²" "      \t\n\n\n\r\u00a0\u3000" "!?.,;:-_/()[]{}#$%&*+=<>@^`|~\"\\"
        "äößéñçÉ" "\u0301\u0308\u200d\ufe0f" "中文字日本語にほん한국어" "🚀👍👩€©。、приветмир")


def texts(real):
    rng = random.Random(7)
    yield from FIXED
    for _ in range(2000 if real else 25):
        n = rng.randrange(1, 60 if real else 24)
        yield "".join(rng.choice(POOL) for _ in range(n))


def byte_alphabet():
    keep = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = iter(range(0x100, 0x200))
    return [chr(b if b in keep else next(moved)) for b in range(256)]


def learn(words, count):
    """The most frequent merges, in order, of words (lists of symbols)."""
    words = collections.Counter(map(tuple, words))
    merges = []
    while len(merges) < count:
        pairs = collections.Counter()
        for w, n in words.items():
            for p in zip(w, w[1:]):
                pairs[p] += n
        if not pairs:
            break
        best = max(pairs, key=lambda p: (pairs[p], p))
        merges.append(best)
        cut = collections.Counter()
        for w, n in words.items():
            out, i = [], 0
            while i < len(w):
                if w[i:i + 2] == best:
                    out.append(w[i] + w[i + 1])
                    i += 2
                else:
                    out.append(w[i])
                    i += 1
            cut[tuple(out)] += n
        words = cut
    return merges


def split(regex):
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}


def level(regex):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": regex}


def seq(*parts):
    return {"type": "Sequence", "pretokenizers": list(parts)}


def added(content, special=True, **flags):
    return dict({"id": 0, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
                 "normalized": False, "special": special}, **flags)


def template(bos=None, eos=None, ids=None):
    single = [{"SpecialToken": {"id": bos, "type_id": 0}}] if bos else []
    single.append({"Sequence": {"id": "A", "type_id": 0}})
    if eos:
        single.append({"SpecialToken": {"id": eos, "type_id": 0}})
    return {"type": "TemplateProcessing", "single": single, "pair": single + [{"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {t: {"id": t, "ids": [ids[t]], "tokens": [t]} for t in (bos, eos) if t}}


def byte_level(pre, tokens, ignore_merges=False, normalizer=None, bos=None, eos=None, arrays=False):
    alphabet = byte_alphabet()
    # Learnt from the words that this very tokenizer makes.
    d = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": normalizer,
         "pre_tokenizer": pre, "post_processor": None, "decoder": level(True),
         "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                   "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": ignore_merges,
                   "vocab": {c: i for i, c in enumerate(alphabet)}, "merges": []}}
    t = Tokenizer.from_str(json.dumps(d))
    words = [w for w, _ in t.pre_tokenizer.pre_tokenize_str(CORPUS)]
    merges = learn(map(list, words), 150)
    vocab = d["model"]["vocab"]
    for a, b in merges:
        vocab.setdefault(a + b, len(vocab))
    if ignore_merges:
        vocab["Ġquoted"] = len(vocab)  # no merges lead there
    d["model"]["merges"] = [list(m) for m in merges] if arrays else [" ".join(m) for m in merges]
    for a in tokens:
        d["added_tokens"].append(dict(a, id=len(vocab) + len(d["added_tokens"])))
    ids = {a["content"]: a["id"] for a in d["added_tokens"]}
    d["post_processor"] = {"type": "Sequence", "processors": [level(True), template(bos, eos, ids)]} if bos or eos else level(True)
    return d


def sentencepiece(normalizer, pre, tokens, bos="<s>", eos=None):
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2}
    for b in range(256):
        vocab[f"<0x{b:02X}>"] = len(vocab)
    words = [["▁"] + list(w) for line in CORPUS.split("\n") for w in line.split(" ") if w]
    learnt = learn(words, 150)
    pieces = [a + b for a, b in learnt] + ["▁▁", "▁▁▁▁"]
    for piece in pieces:
        vocab.setdefault(piece, len(vocab))
    for c in sorted({c for w in words for c in w} - set("👍x[")):
        vocab.setdefault(c, len(vocab))
    vocab = {p: i for i, p in enumerate(p for p in vocab if len(p) == 1 or p in ("<unk>", "<s>", "</s>") or p.startswith("<0x")
                                        or any(p[:k] in vocab and p[k:] in vocab for k in range(1, len(p))))}
    merges = [[p[:k], p[k:]] for p in vocab if p in pieces for k in range(1, len(p)) if p[:k] in vocab and p[k:] in vocab]
    d = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": normalizer,
         "pre_tokenizer": pre, "post_processor": None, "decoder": None,
         "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                   "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                   "vocab": vocab, "merges": merges}}
    for a in [added("<unk>"), added("<s>"), added("</s>")] + tokens:
        d["added_tokens"].append(dict(a, id=vocab.get(a["content"], len(vocab) + len(d["added_tokens"]) - 3)))
    ids = {a["content"]: a["id"] for a in d["added_tokens"]}
    d["post_processor"] = template(bos, eos, ids)
    return d


WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}NUMBER| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
CASED = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+SUFFIX"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*SUFFIX"
         r"|\p{N}NUMBER| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
V3 = ("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
      "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+")
PREPEND = {"type": "Sequence", "normalizers": [
    {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}
REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}


def metaspace(scheme, cut):
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": cut}


def ours():
    chat = [added("<|im_start|>"), added("<|im_end|>"), added("<tool>", special=False)]
    yield "gpt-2", byte_level(level(True), [added("<|endoftext|>", normalized=True)])
    yield "llama-bpe", byte_level(seq(split(WORDS.replace("NUMBER", "{1,3}")), level(False)),
                                  [added("<|begin_of_text|>"), added("<|eot_id|>")], ignore_merges=True, bos="<|begin_of_text|>")
    yield "qwen2", byte_level(seq(split(WORDS.replace("NUMBER", "")), level(False)), chat, normalizer={"type": "NFC"}, arrays=True)
    yield "smollm", byte_level(seq({"type": "Digits", "individual_digits": True}, level(True)), chat)
    yield "deepseek-v3", byte_level(seq(split(r"\p{N}{1,3}"), split("[一-龥\u3040-ゟ゠-ヿ]+"), split(V3), level(False)), chat)
    yield "gpt-4o", byte_level(seq(split(CASED.replace("SUFFIX", "(?i:'s|'t|'re|'ve|'m|'ll|'d)?").replace("NUMBER", "{1,3}")), level(False)), chat)
    yield "tekken", byte_level(seq(split(CASED.replace("SUFFIX", "").replace("NUMBER", "")), level(False)),
                               [added("<s>"), added("</s>")], ignore_merges=True, bos="<s>", eos="</s>")
    yield "falcon", byte_level(seq({"type": "Punctuation", "behavior": "Contiguous"}, level(True),
                                   {"type": "Digits", "individual_digits": False}, split("[0-9][0-9][0-9]")), chat)
    yield "edges", byte_level(seq(split(WORDS.replace("NUMBER", "{1,3}")), level(False)),
                              [added("<|end|>", rstrip=True), added("<mask>", lstrip=True, single_word=True),
                               added("<tool>", special=False, lstrip=True, rstrip=True)])
    tool = [added("<tool>", special=False), added("<|end|>", rstrip=True)]
    yield "spm-each", sentencepiece(PREPEND, None, tool)
    yield "spm-first", sentencepiece(None, metaspace("first", False), tool)
    yield "spm-always", sentencepiece(None, metaspace("always", False), tool, eos="</s>")
    yield "spm-never", sentencepiece(REPLACE, {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
                                     tool, bos=None)


def cases(d, real):
    t = Tokenizer.from_str(json.dumps(d))
    begin = [a["content"] for a in d["added_tokens"]]
    for text in texts(real):
        ids = t.encode(text, add_special_tokens=True).ids
        plain = t.encode(text, add_special_tokens=False).ids
        # What the text begins or ends with is not added again by us.
        if ids != plain and any(text.startswith(b) or text.rstrip().endswith(b) for b in begin):
            continue
        yield {"text": text, "ids": ids}


def main():
    if sys.argv[1] == "--real":
        for path in sorted(pathlib.Path(sys.argv[2]).glob("*/tokenizer.json")):
            d = json.loads(path.read_text())
            (path.parent / "cases.json").write_text(json.dumps(list(cases(d, True))))
            print(path, flush=True)
        return
    rows = []
    for name, d in ours():
        rows.append(json.dumps({"name": name, "tokenizer": d, "cases": list(cases(d, False))}, separators=(",", ":")))
    pathlib.Path(sys.argv[1]).write_bytes(gzip.compress(("[\n" + ",\n".join(rows) + "\n]\n").encode(), mtime=0))


main()
