"""What PyTorch computes from a real model, for the tests that limbic runs where such a
model lies (LIMBIC_TEST_MODELS): see ../real/README.md.

    python3 golden.py MODEL.gguf OUT.json      # torch, transformers 5, tokenizers, gguf, jinja2
"""
import datetime
import hashlib
import math
import sys

import tokenizers
import torch
import transformers

from corpus import Corpus
from engine import Engine, save

WINDOW = 1024  # tokens of a window of the perplexity, BOS included
BYTES = 20_000  # of text, at least
NEW = 48  # tokens of an answer, at most

PROMPTS = [
    "What is the capital of France?",
    "Write one sentence about the sea.",
    "My dog died this morning and I don't know what to do.",
    "How do I boil an egg?",
    "List three colours.",
    "I was promoted today! Can you help me tell my parents?",
    "What is 17 + 25?",
    "Explain in one sentence why the sky is blue.",
    "Translate to German: The house is small.",
    "Say hello to Zoë & Łukasz 👋",
]
CONVERSATION = [
    {"role": "system", "content": "You answer briefly."},
    {"role": "user", "content": "I can't sleep.\nWhat should I do?"},
    {"role": "assistant", "content": "Put the phone away and read something dull."},
    {"role": "user", "content": "I did that. It didn't help."},
    {"role": "assistant", "content": "Then get up, and do something quiet until you are tired."},
    {"role": "user", "content": " Thanks \U0001f642 "},
]


def neutral_text():
    """The neutral texts of limbic's corpus in their order, until there are BYTES."""
    text = ""
    for _, part in Corpus().neutral:
        text += part + "\n\n"
        if len(text.encode()) >= BYTES:
            return text


def perplexity(e, ids):
    start = [e.bos] if e.adds_bos else []
    step, scores = WINDOW - len(start), []
    for at in range(0, len(ids), step):
        window = start + ids[at:at + step]
        logp = torch.log_softmax(e.logits(window)[:-1].double(), dim=-1)
        scores += (-logp[torch.arange(len(window) - 1), torch.tensor(window[1:])]).tolist()
    return math.exp(sum(scores) / len(scores)), len(scores)


def main():
    path, out = sys.argv[1:]
    e = Engine(path)
    text = neutral_text()
    ids = e.encode(text, bos=False)
    ppl, scored = perplexity(e, ids)
    print(f"perplexity {ppl} of {scored} tokens")
    answers = []
    for p in PROMPTS:
        prompt = e.prompt([{"role": "user", "content": p}])
        new, gaps = e.greedy(prompt, NEW)
        print(repr(e.tokenizer.decode(new)), min(gaps))
        answers.append({"message": p, "prompt": prompt, "answer": new, "gaps": [round(g, 6) for g in gaps]})
    digest = hashlib.sha256(open(path, "rb").read()).hexdigest()
    result = {
        "name": e.get("general.name"), "sha256": digest, "licence": e.get("general.license", "not stated in the file"),
        "made": {"date": datetime.date.today().isoformat(), "torch": torch.__version__,
                 "transformers": transformers.__version__, "tokenizers": tokenizers.__version__},
        "format": "chat" if e.template else "human-assistant",
        "perplexity": {"text_sha256": hashlib.sha256(text.encode()).hexdigest(), "bytes": BYTES, "context": WINDOW,
                       "tokens": len(ids), "ids_sha256": hashlib.sha256(" ".join(map(str, ids)).encode()).hexdigest(),
                       "scored": scored, "perplexity": ppl},
        "answers": answers,
        "conversation": {"messages": CONVERSATION, "text": e.render(CONVERSATION), "tokens": e.prompt(CONVERSATION)},
    }
    save(out, result)


if __name__ == "__main__":
    main()
