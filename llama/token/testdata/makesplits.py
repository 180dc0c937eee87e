#!/usr/bin/env python3
"""Make splits.json: texts and the words that published splitters cut them into,
each word by its length in bytes.

usage: makesplits.py [--seed N] [--count N] OUT.json

The expressions are those of the models' own tokenizer files. Needs the Python
module regex, which has Unicode classes and lookahead.
"""
import argparse
import json
import random
import unicodedata

import regex

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
CASED = "".join(f"\\U{a:08X}-\\U{b:08X}" for a, b in [
    (0x0041, 0x005A), (0x0061, 0x007A), (0x00B5, 0x00B5), (0x00C0, 0x00D6), (0x00D8, 0x00F6),
    (0x00F8, 0x01BA), (0x01BC, 0x01BF), (0x01C4, 0x0293), (0x0295, 0x02AF), (0x0370, 0x0373),
    (0x0376, 0x0376), (0x0377, 0x0377), (0x037B, 0x037D), (0x037F, 0x037F), (0x0386, 0x0386),
    (0x0388, 0x038A), (0x038C, 0x038C), (0x038E, 0x03A1), (0x03A3, 0x03F5), (0x03F7, 0x0481),
    (0x048A, 0x052F), (0x0531, 0x0556), (0x10A0, 0x10C5), (0x13A0, 0x13F5), (0x13F8, 0x13FD),
    (0x1C90, 0x1CBA), (0x1CBD, 0x1CBF), (0x1D00, 0x1D2B), (0x1D6B, 0x1D77), (0x1D79, 0x1D9A),
    (0x1E00, 0x1F15), (0x1F18, 0x1F1D), (0x1F20, 0x1F45), (0x1F48, 0x1F4D), (0x1F50, 0x1F57),
    (0x1F59, 0x1F59), (0x1F5B, 0x1F5B), (0x1F5D, 0x1F5D), (0x1F5F, 0x1F7D), (0x1F80, 0x1FB4),
    (0x1FB6, 0x1FBC), (0x1FBE, 0x1FBE), (0x1FC2, 0x1FC4), (0x1FC6, 0x1FCC), (0x1FD0, 0x1FD3),
    (0x1FD6, 0x1FDB), (0x1FE0, 0x1FEC), (0x1FF2, 0x1FF4), (0x1FF6, 0x1FFC), (0x2102, 0x2102),
    (0x2107, 0x2107), (0x210A, 0x2113), (0x2115, 0x2115), (0x2119, 0x211D), (0x2124, 0x2124),
    (0x2126, 0x2126), (0x2128, 0x2128), (0x212A, 0x212D), (0x212F, 0x2134), (0x2139, 0x2139),
    (0x213C, 0x213F), (0x2145, 0x2149), (0x214E, 0x214E), (0x2183, 0x2183), (0x2184, 0x2184),
    (0x2C00, 0x2C7B), (0x2C7E, 0x2CE4), (0x2CEB, 0x2CEE), (0x2CF2, 0x2CF2), (0x2CF3, 0x2CF3),
    (0xA640, 0xA66D), (0xA680, 0xA69B), (0xA722, 0xA76F), (0xA771, 0xA787), (0xA78B, 0xA78E),
    (0xAB70, 0xABBF), (0xFB00, 0xFB06), (0xFB13, 0xFB17), (0xFF21, 0xFF3A), (0xFF41, 0xFF5A),
    (0x10400, 0x1044F), (0x104B0, 0x104D3), (0x104D8, 0x104FB), (0x10C80, 0x10CB2), (0x10CC0, 0x10CF2),
    (0x118A0, 0x118DF), (0x1E900, 0x1E943),
])
CASED_WORD = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+SUFFIX"
              r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*SUFFIX"
              r"|\p{N}NUMBER| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
IDEOGRAPHS = r"[\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF]+"
BYTES = None  # from here on, bytes are written as characters
# Applied one after the other: a list splits the matches and the gaps of the
# previous expression.
SPLITTERS = {
    "gpt-2": [GPT2],
    "llama-bpe": [LLAMA3],
    "qwen2": [QWEN2],
    "smollm": [r"\p{N}", GPT2],
    "deepseek-llm": [
        r"[\r\n]",
        rf"\s?[{CASED}]+",
        r"\s?[!-/:-~\uFF01-\uFF0F\uFF1A-\uFF5E\u2018-\u201F\u3000-\u3002]+",
        r"\s+$",
        IDEOGRAPHS,
        r"\p{N}",
    ],
    "deepseek-coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", IDEOGRAPHS, r"\p{N}"],
    "deepseek-v3": [
        r"\p{N}{1,3}",
        r"[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+",
        r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
        r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ],
    "gpt-4o": [CASED_WORD.replace("SUFFIX", "(?i:'s|'t|'re|'ve|'m|'ll|'d)?").replace("NUMBER", "{1,3}")],
    "tekken": [CASED_WORD.replace("SUFFIX", "").replace("NUMBER", "")],
    "qwen35": [
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
        r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ],
    "minicpm5": [r"\p{N}{1,3}", LLAMA3.replace("{1,3}", "+")],
    "seed-coder": [
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}"
        r"| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+",
    ],
    # ¹²³¼½¾ are numeric and stand for bytes.
    "falcon": [r"[\p{P}$+<=>^`|~]+", GPT2, BYTES, r"[¹²³¼½¾0-9]+", r"[0-9][0-9][0-9]"],
}

FIXED = [
    "", " ", "  ", "   x", "Hello, world!", "I'm they'RE we'Ve don't 'Sup '", "it'\u017f l'\u0130",
    "a\n\n b \t\n  c\r\n\r\nd  ", "\n\n\n", " \n \n x", "3.14 2024-11-05 1234567 ½Ⅷ٣٤٥٦", "x=1;y=[2,3]//\n\n\n",
    "Äpfel naïve Straße", "中文和English混合。한국어 텍스트　です", "🚀👨‍👩‍👧 e\u0301 \u0301x", "\u00a0x\u2003y\u0085z\x1c\x1f",
    "!!!!!!\n\n?", "  !x", " \u00a0!", "\t\t if x:", "'", "''s", " 's", "\u3000\u3000x\u3000", "Ḁᲀ ǅ ʔ",
    "HTMLParser camelCaseWORDs iPhone's DON'T aʰBʰC ǅABC", "!!\u0301x \u0301AB \u0301 A\u0301B", "a/b//\n/\n\n c;/", "x\x00y\x00\x01 \x02z",
    "$100,000.00 1½ ٣٤٥٦ 1234 -5", "日本語のテキストとEnglish、한국어", "c\u2028\n!\u3000\n", ".net #tag @me $x €y _z -w", "e\u0301e\u0301 क्षि ไทย",
]

POOL = ("abzAZsSdDmMtTrRvVlLeE" "'''''''’" "0123456789½²Ⅷ٣٤九" "      \t\t\n\n\n\r\u00a0\u2003\u3000\u0085\u2028\x0b\x1c"
        "!?.,;:-_/()[]{}#$%&*+=<>@^`|~\"\\" "äößéñçǅʔſKİıΩЖԱႠᲐ" "\u0301\u0300\u200d\ufe0f" "中文字日本語한국어กាअ"
        "🚀😀👩€£©→■▁。、！Ａ")


def byte_alphabet():
    keep = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = iter(range(0x100, 0x200))
    return {b: chr(b if b in keep else next(moved)) for b in range(256)}


ALPHABET = byte_alphabet()


def split(stages, text):
    """The lengths in bytes of the words of a text."""
    parts = [text]
    as_bytes = False
    for stage in stages:
        if stage is BYTES:
            parts = ["".join(ALPHABET[b] for b in part.encode()) for part in parts]
            as_bytes = True
            continue
        cut = []
        for part in parts:
            at = 0
            for m in stage.finditer(part):
                if m.start() > at:
                    cut.append(part[at:m.start()])
                cut.append(m.group())
                at = m.end()
            if at < len(part):
                cut.append(part[at:])
        parts = cut
    return [len(part if as_bytes else part.encode()) for part in parts]


def texts(rng, count):
    yield from FIXED
    # Any character, as long as both Unicode tables at hand agree about it.
    anything = [chr(c) for c in range(0x110000)
                if not 0xD800 <= c < 0xE000 and unicodedata.category(chr(c)) not in ("Cn", "Co")]
    for i in range(count):
        n = rng.randrange(1, 24)
        wild = rng.random() < 0.3
        yield "".join(rng.choice(anything) if wild and rng.random() < 0.4 else rng.choice(POOL) for _ in range(n))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--count", type=int, default=100)
    p.add_argument("out")
    a = p.parse_args()
    compiled = {k: [e and regex.compile(e) for e in v] for k, v in SPLITTERS.items()}
    cases = [{"text": t, "words": {k: split(v, t) for k, v in compiled.items()}}
             for t in texts(random.Random(a.seed), a.count)]
    with open(a.out, "w", encoding="ascii") as f:
        f.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")


main()
