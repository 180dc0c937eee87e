"""Train the embedded model.

    python train.py --work WORK --out RUN [--steps N] [--seed S] [--no-naming] [--no-teacher]

WORK is what data.py wrote. The model is a language model first: every text is read
for its next token. What gives it a reason to keep the feeling of a story in mind:

 1. texts in which a story is followed by a question about the feeling and its answer,
    or a feeling is named first and the scene follows, and with --good sentences that
    say whether a feeling is good to have (all of them left out by --no-naming);
 2. at the output of block 3, linear heads, thrown away afterwards, that must tell the
    feeling (out of 171), with --good whether it is good to have, and the sentence embedding of the
    whole text by a teacher model, from every position and from the mean over positions
    (left out by --no-teacher). They see what the blocks have written, not the token
    embedding. With --even, texts must also differ evenly over the directions of the
    residual stream.

Human ratings of emotions are used nowhere. Which feelings are good to have was decided
for this training, in pleasant.txt.
"""
import argparse
import json
import math
import os
import random
import re
import time

import torch
import torch.nn as nn
import torch.nn.functional as F
from tokenizers import Tokenizer

from data import sentences
from net import Config, Net

BEGIN, END, SYSTEM, USER, ASSISTANT = range(5)
LENGTHS = (112, 144, 184, 224)  # tokens a row, one of these; longer texts are cut
LENGTH = LENGTHS[-1]

# Ways to ask and to answer. {h} he, {H} He, {o} him, {do} does/do, {s} s or nothing, {e} the feeling.
ASK = [
    ("How {do} {h} feel?", "{H} feel{s} {e}."),
    ("How {do} {h} feel?", "{H} feel{s} {e}."),
    ("How {do} {h} feel?", "{H} feel{s} {e}."),
    ("How is it for {o}?", "{H} feel{s} {e}."),
    ("What {do} {h} feel?", "{H} feel{s} {e}."),
    ("What {do} {h} feel now?", "{H} feel{s} {e} now."),
    ("What is the feeling here?", "Feeling {e}."),
    ("Name the feeling.", "{e}."),
    ("Which word fits best?", "The word is {e}."),
    ("How {do} {h} feel, {e2} or {e}?", "{H} feel{s} {e}."),
    ("How {do} {h} feel, {e} or {e2}?", "{H} feel{s} {e}."),
    ("{Do} {h} feel {e2}?", "No, {h} feel{s} {e}."),
    ("{Do} {h} feel {e}?", "Yes, {h} feel{s} {e}."),
]
# Ways to ask whether a feeling is good to have, with the answers for bad, neither and good.
GOOD = [
    ("Is it a good feeling?", ("No, it is a bad feeling.", "It is neither good nor bad.", "Yes, it is a good feeling.")),
    ("{Do} {h} feel good or bad?", ("{H} feel{s} bad.", "{H} feel{s} neither good nor bad.", "{H} feel{s} good.")),
    ("Is it pleasant for {o}?", ("No, it is unpleasant.", "Neither pleasant nor unpleasant.", "Yes, it is pleasant.")),
    ("How {do} {h} feel, and is that good?",
     ("{H} feel{s} {e}. That is bad.", "{H} feel{s} {e}. That is neither good nor bad.", "{H} feel{s} {e}. That is good.")),
]
SAY = [
    ("It is bad to feel {e}.", "It is neither good nor bad to feel {e}.", "It is good to feel {e}."),
    ("Feeling {e} is unpleasant.", "Feeling {e} is neither pleasant nor unpleasant.", "Feeling {e} is pleasant."),
]
TELL = [
    "Tell a story about someone who feels {e}.",
    "Write a short scene. The person feels {e}.",
    "Tell me of a time when {h} felt {e}.",
    "{H} feel{s} {e}. What happened?",
]
GO_ON = ["What happens next? {H} feel{s} {e}.", "Go on. {H} feel{s} {e}.", "Continue, so that {h} feel{s} {e}."]
REPLY = ["How do I sound?", "How do you think I feel?", "What do I feel?"]

PRONOUNS = {
    "he": dict(h="he", H="He", o="him", do="does", Do="Does", s="s"),
    "she": dict(h="she", H="She", o="her", do="does", Do="Does", s="s"),
    "they": dict(h="they", H="They", o="them", do="do", Do="Do", s=""),
    "I": dict(h="I", H="I", o="me", do="do", Do="Do", s=""),
}


def pronoun(text):
    w = re.findall(r"[A-Za-z']+", text)
    n = {
        "I": sum(x in ("I", "my", "me", "My", "I'd", "I'm") for x in w),
        "he": sum(x in ("he", "He", "his", "him", "His") for x in w),
        "she": sum(x in ("she", "She", "her", "Her") for x in w),
        "they": sum(x in ("they", "They", "their", "them") for x in w) * 0.5,
    }
    best = max(n, key=n.get)
    return best if n[best] else "they"


class Maker:
    """Makes training rows: token ids, the span in which the feeling shows, its label."""

    def __init__(self, data, tok, rng, naming=True, good=True, scenes=0.28):
        self.tok, self.rng, self.naming, self.good, self.emotions = tok, rng, naming, good, data["emotions"]
        self.known = data["sentences"]
        self.pleasant = [round(2 * v) for v in data["pleasant"]]  # 0 bad, 1 neither, 2 good
        self.waiting = None
        self.kinds = {}
        for d in data["docs"]:
            kind = d["kind"]
            if kind.startswith("neutral"):
                kind = "neutral"
            self.kinds.setdefault(kind, []).append(d)
        self.by_label = {}
        for d in self.kinds["story"] + self.kinds.get("scene", []):
            self.by_label.setdefault(d["label"], []).append(d)
        self.groups = {}
        for d in self.kinds.get("scene", []):
            self.groups.setdefault(d["group"], []).append(d)
        share = {"story": 0.72 - scenes, "scene": scenes, "chat": 0.11, "saying": 0.04, "neutral": 0.03, "book": 0.08, "prose": 0.02}
        self.share = {k: v for k, v in share.items() if self.kinds.get(k)}
        if not naming:
            self.share.pop("saying", None)

    def enc(self, text):
        return self.tok.encode(text, add_special_tokens=False).ids

    def turns(self, text):
        out, spans = [], []
        for m in re.finditer(r"(?ms)^(User|Assistant|System): (.*?)(?=^(?:User|Assistant|System): |\Z)", text):
            role = {"User": USER, "Assistant": ASSISTANT, "System": SYSTEM}[m[1]]
            out += [role] + self.enc(m[2].strip()) + [END]
        return out

    def row(self):
        r = self.rng
        kind = r.choices(list(self.share), list(self.share.values()))[0]
        d = r.choice(self.kinds[kind])
        make = getattr(self, kind, self.plain)
        return make(d)

    def plain(self, d):
        if d["text"].startswith("User: "):
            return [BEGIN] + self.turns(d["text"]), (1, LENGTH), d["label"], d["teacher"], LENGTH, []
        return [BEGIN] + self.enc(d["text"]) + [END], (1, LENGTH), d["label"], d["teacher"], LENGTH, []

    def saying(self, d):
        text = d["text"]
        if self.good and self.rng.random() < 0.3:
            text = self.rng.choice(SAY)[self.pleasant[d["label"]]].format(e=self.emotions[d["label"]])
        ids = [BEGIN] + self.enc(text) + [END]
        return ids, (1, 1), -1, None, LENGTH, []

    def ask(self, text, e):
        p = PRONOUNS[pronoun(text)]
        if self.good and self.rng.random() < 0.2:
            q, answers = self.rng.choice(GOOD)
            return q.format(**p), answers[self.pleasant[self.emotions.index(e)]].format(e=e, **p)
        q, a = self.rng.choice(ASK)
        other = self.rng.choice(self.emotions)
        if "{e2}" in q and other == e:
            q, a = ASK[0]
        return q.format(e=e, e2=other, **p), a.format(e=e, **p)

    def told(self, parts, label, teacher, opening=None):
        """A row of a text, given as its sentences, whose feeling is known."""
        r, e = self.rng, self.emotions[label]
        text = " ".join(parts)
        # Pieces between spaces are tokenized alone, so this is the text's tokens.
        body, ends = [], []
        for i, p in enumerate(parts):
            body += self.enc(p if i == 0 else " " + p)
            ends.append((len(body) - 1, p))
        at = lambda n: [(n + k, p) for k, p in ends]
        u = r.random()
        if not self.naming:
            u = 0.95
        if u < 0.36:
            q, a = self.ask(text, e)
            ids = [BEGIN] + body + self.enc("\n\n" + q + "\n")
            return ids + self.enc(a) + [END], (1, 1 + len(body) + 8), label, teacher, len(ids), at(1)
        if u < 0.54:
            q, a = self.ask(text, e)
            ids = [BEGIN, USER] + body + self.enc("\n\n" + q) + [END, ASSISTANT]
            return ids + self.enc(a) + [END], (2, 2 + len(body) + 8), label, teacher, len(ids), at(2)
        if u < 0.66:
            p = PRONOUNS[pronoun(text)]
            if opening and text.startswith(opening):
                q = opening + "\n\n" + r.choice(GO_ON).format(e=e, **p)
                body, ends = self.enc(text[len(opening):].strip()), []
            else:
                q = r.choice(TELL).format(e=e, **p)
            q = self.enc(q)
            return [BEGIN, USER] + q + [END, ASSISTANT] + body + [END], (1, 1), -1, None, LENGTH, at(len(q) + 3)
        if u < 0.72:
            # The feeling first, in plain text: what comes must fit it.
            p = PRONOUNS[pronoun(text)]
            lead = self.enc("{H} feel{s} {e}.\n\n".format(e=e, **p))
            return [BEGIN] + lead + body + [END], (1, 1), -1, None, LENGTH, at(len(lead) + 1)
        return [BEGIN] + body + [END], (1, LENGTH), label, teacher, LENGTH, at(1)

    def mixed(self, label):
        """Stretches of two or three sentences of texts that have but the feeling in
        common, so that it is all there is to learn from them."""
        r, out, words = self.rng, [], 0
        while words < 70:
            s = self.split(r.choice(self.by_label[label]))
            a = r.randrange(max(1, len(s) - 1))
            part = s[a:a + r.choice((1, 2, 3))]
            out += part
            words += sum(len(p.split()) for p in part)
        return out

    def split(self, d):
        if "parts" not in d:
            d["parts"] = sentences(d["opening"] + " " + d["text"] if d["kind"] == "scene" else d["text"])
        return d["parts"]

    def story(self, d):
        r, s = self.rng, self.split(d)
        u = r.random()
        if u < 0.45:
            return self.told(self.mixed(d["label"]), d["label"], None)
        if u < 0.7 and len(s) > 4:
            a = r.randrange(0, len(s) // 2)
            b = r.randrange(max(a + 3, len(s) - 2), len(s) + 1)
            s = s[a:b]
        return self.told(s, d["label"], d["teacher"])

    def scene(self, d):
        if self.rng.random() < 0.3:
            return self.told(self.mixed(d["label"]), d["label"], None)
        return self.told(self.split(d), d["label"], d["teacher"], d["opening"])

    def chat(self, d):
        r = self.rng
        ids = [BEGIN] + self.turns(d["text"])
        span, answered = (2, min(len(ids), LENGTH)), LENGTH
        if self.naming and r.random() < 0.6:
            e = self.emotions[d["label"]]
            answer = d.get("feeling") if d.get("feeling") and r.random() < 0.7 else r.choice(["You feel {e}.", "You sound {e}.", "I think you feel {e}."]).format(e=e)
            if r.random() < 0.5:
                first = d["text"].split("\nAssistant: ")[0]
                ids = [BEGIN] + self.turns(first)[:-1] + self.enc("\n\n" + r.choice(REPLY)) + [END, ASSISTANT]
            else:
                ids += [USER] + self.enc(r.choice(REPLY)) + [END, ASSISTANT]
            answered = len(ids)
            ids += self.enc(answer) + [END]
        return ids, span, d["label"], d["teacher"], answered, []

    def step(self, n):
        """A batch of n rows: in turn the shorter and the longer ones of 2n, so that
        little is spent on padding."""
        if self.waiting is None:
            rows = sorted((self.row() for _ in range(2 * n)), key=lambda x: len(x[0]))
            self.waiting = rows[n:]
            return self.batch(rows[:n])
        rows, self.waiting = self.waiting, None
        return self.batch(rows)

    def batch(self, rows):
        n = len(rows)
        longest = max(len(r[0]) for r in rows) - 1
        LENGTH = next(l for l in LENGTHS if l >= longest or l == LENGTHS[-1])
        ids = torch.full((n, LENGTH + 1), END)
        target = torch.full((n, LENGTH), -100)
        weight = torch.zeros(n, LENGTH)
        label = torch.full((n,), -1)
        teach = torch.zeros(n, 384)
        mask = torch.zeros(n, LENGTH)
        sent_row, sent_pos, sent_vec = [], [], []
        for i in range(n):
            t, (a, b), y, v, answered, ends = rows[i]
            t = t[: LENGTH + 1]
            k = len(t)
            t = torch.tensor(t)
            ids[i, :k] = t
            target[i, : k - 1] = t[1:]
            weight[i, : k - 1] = 1
            # An answer is short, and what the rest of the text is for.
            weight[i, min(answered, k) - 1 : k - 1] = 4
            if y >= 0 and self.rng.random() < 0.5:
                # Words may be missing: no single word is to be relied upon.
                hit = (torch.rand(k) < 0.15) & (t >= 5)
                ids[i, :k][hit] = torch.randint(5, Config.vocab, (int(hit.sum()),))
            for pos, text in ends:
                if pos < k - 1 and text in self.known:
                    sent_row.append(i)
                    sent_pos.append(pos)
                    sent_vec.append(self.known[text])
            label[i] = y
            if v is not None:
                teach[i] = v
            mask[i, a:min(b, k - 1)] = 1
        sent = (torch.tensor(sent_row), torch.tensor(sent_pos), torch.stack(sent_vec).float()) if sent_row else None
        return ids[:, :-1], target, weight, label, teach, mask, sent


class Heads(nn.Module):
    """What is read at the site during training, and thrown away afterwards."""

    def __init__(self, emotions, width):
        super().__init__()
        self.names = nn.Parameter(torch.randn(emotions, width) * 0.05)
        self.embed = nn.Linear(width, 384)
        self.sentence = nn.Linear(width, 384)
        self.good = nn.Parameter(torch.randn(width) * 0.05)
        self.register_buffer("pool_mean", torch.zeros(width))
        self.register_buffer("state_mean", torch.zeros(width))

    def score(self, x):
        n = self.names - self.names.mean(0)
        return 14 * F.normalize(x, dim=-1) @ F.normalize(n, dim=-1).T

    def goodness(self, x, want):
        """Cross-entropy of whether the feeling is good to have. The small factor makes it
        a large part of the state: to be as sure as the texts allow takes a cosine of
        about 0.4."""
        s = 3 * F.normalize(x, dim=-1) @ F.normalize(self.good, dim=0)
        return F.binary_cross_entropy_with_logits(s, want)

    def loss(self, h, label, teach, mask, sent, soft, pleasant, teacher_mean, sentence_mean, rng):
        h = h.float()
        b, t, _ = h.shape
        index = torch.arange(t)[None].expand(b, t)
        first = mask.argmax(1, keepdim=True)
        length = mask.sum(1, keepdim=True)
        zero = h.sum() * 0
        # The mean over positions, as limbic takes it: from the 50th on, or the
        # second half of a short text.
        start = torch.minimum(first + 50, first + (length * 0.5).long())
        pool = mask * (index >= start)
        has = (label >= 0) & (length[:, 0] > 16)
        out = {}
        pooled = (h * pool[..., None]).sum(1) / pool.sum(1, keepdim=True).clamp(min=1)
        at = (mask > 0) & (index >= first + 12) & ((index + rng.randrange(6)) % 6 == 0)
        if self.training:
            with torch.no_grad():
                if has.any():
                    self.pool_mean.lerp_(pooled[has].mean(0), 0.02)
                if at.any():
                    self.state_mean.lerp_(h[at].mean(0), 0.02)
        q = soft[label.clamp(min=0)]
        out["pooled"] = -(q[has] * self.score(pooled[has] - self.pool_mean).log_softmax(-1)).sum(-1).mean() if has.any() else zero
        out["good"] = self.goodness(pooled[has] - self.pool_mean, pleasant[label[has]]) if has.any() else zero
        # How uneven the variance between texts is over directions: the logarithm of the
        # sum of squared eigenvalues over the squared sum, times the number of texts; 0
        # if even. Without it two directions, talk against telling and thought against
        # action, take seven tenths of it, and cosines see little else.
        out["even"] = zero
        if has.any():
            x = pooled[has] - self.pool_mean
            c = x @ x.T
            out["even"] = (len(x) * (c * c).sum() / c.trace() ** 2).log()
        here = at & (label >= 0)[:, None]
        row = here.nonzero()[:, 0]
        out["each"] = -(q[row] * self.score(h[here] - self.state_mean).log_softmax(-1)).sum(-1).mean() if len(row) else zero
        if len(row):
            out["good"] = out["good"] + self.goodness(h[here] - self.state_mean, pleasant[label[row]])
        told = teach.abs().sum(1) > 0
        here = at & told[:, None]
        row = here.nonzero()[:, 0]
        want = F.normalize(teach - teacher_mean, dim=-1)
        out["teacher"] = (1 - F.cosine_similarity(self.embed(h[here]), want[row])).mean() if len(row) else zero
        if sent is None:
            out["sentence"] = zero
        else:
            row, pos, vec = sent
            out["sentence"] = (1 - F.cosine_similarity(self.sentence(h[row, pos]), vec - sentence_mean)).mean()
        with torch.no_grad():
            if has.any():
                out["top5"] = (self.score(pooled[has] - self.pool_mean).topk(5)[1] == label[has][:, None]).any(1).float().mean()
        return out


@torch.no_grad()
def dev_scores(net, heads, maker, dev, pleasant):
    """Loss and identification on scenes kept aside, by the training heads."""
    net.eval()
    heads.eval()
    losses, n, hit1, hit5, m, pooled = 0.0, 0, 0, 0, 0, []
    rows = [([BEGIN] + maker.enc(d["opening"] + " " + d["text"]) + [END], d["label"]) for d in dev]
    for a in range(0, len(rows), 32):
        part = rows[a:a + 32]
        ids = torch.full((len(part), LENGTH + 1), END)
        target = torch.full((len(part), LENGTH), -100)
        mask = torch.zeros(len(part), LENGTH)
        for i, (t, _) in enumerate(part):
            t = torch.tensor(t[: LENGTH + 1])
            ids[i, : len(t)] = t
            target[i, : len(t) - 1] = t[1:]
            k = len(t) - 1
            mask[i, min(50, k // 2): k] = 1
        with torch.autocast("cpu", torch.bfloat16):
            first, states, h = net(ids[:, :-1])
            lg = net.logits(h)
        losses += F.cross_entropy(lg.float().flatten(0, 1), target.flatten(), reduction="sum", ignore_index=-100).item()
        n += int((target >= 0).sum())
        wrote = states[Config.site].float() - first.float()
        p = (wrote * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        pooled.append(p)
        s = heads.score(p - heads.pool_mean)
        y = torch.tensor([l for _, l in part])[:, None]
        hit1 += int((s.topk(1)[1] == y).sum())
        hit5 += int((s.topk(5)[1] == y).sum())
        m += len(part)
    net.train()
    heads.train()
    # The best correlation of the first three components of the feelings' means with
    # whether they are good to have.
    x, y = torch.cat(pooled), torch.tensor([l for _, l in rows])
    known = [k for k in range(len(pleasant)) if (y == k).any()]
    means = torch.stack([x[y == k].mean(0) for k in known])
    means = means - means.mean(0)
    parts = means @ torch.linalg.svd(means, full_matrices=False)[2][:3].T
    good = max(abs(torch.corrcoef(torch.stack([c, pleasant[known]]))[0, 1].item()) for c in parts.T)
    return {"dev_good": good, "dev_loss": losses / max(n, 1), "dev_top1": hit1 / max(m, 1), "dev_top5": hit5 / max(m, 1)}


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--work", required=True)
    a.add_argument("--out", required=True)
    a.add_argument("--init", help="a finished run to go on from")
    a.add_argument("--steps", type=int, default=2100)
    a.add_argument("--rows", type=int, default=32)
    a.add_argument("--rate", type=float, default=2.5e-3)
    a.add_argument("--drop", type=float, default=0.15)
    a.add_argument("--decay", type=float, default=0.1)
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--pooled", type=float, default=0.4, help="weight of the feeling read from the mean over positions")
    a.add_argument("--each", type=float, default=0.3, help="weight of the feeling read from every position")
    a.add_argument("--teach", type=float, default=1.0, help="weight of the teacher's embedding")
    a.add_argument("--good", type=float, default=0.0, help="weight of whether the feeling is good to have; if 0, no text speaks of it either")
    a.add_argument("--even", type=float, default=0.0, help="weight of how unevenly texts vary over directions")
    a.add_argument("--scenes", type=float, default=0.28, help="share of rows that are scenes")
    a.add_argument("--threads", type=int, default=2)
    a.add_argument("--eval", type=int, default=200)
    a.add_argument("--no-naming", action="store_true")
    a.add_argument("--no-teacher", action="store_true")
    a = a.parse_args()
    os.makedirs(a.out, exist_ok=True)
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    rng = random.Random(a.seed)
    data = torch.load(os.path.join(a.work, "data.pt"), weights_only=False)
    tok = Tokenizer.from_file(os.path.join(a.work, "tokenizer.json"))
    tok.encode_special_tokens = True  # control tokens are set by number; text is text
    torch._dynamo.config.cache_size_limit = 16
    maker = Maker(data, tok, rng, naming=not a.no_naming, good=a.good > 0, scenes=a.scenes)
    n = len(data["emotions"])
    pleasant = torch.tensor(data["pleasant"])
    near = (data["similar"] / 0.08).masked_fill(torch.eye(n, dtype=torch.bool), -math.inf).softmax(-1)
    alike = (pleasant[:, None] == pleasant[None]).float()
    alike = alike / alike.sum(1, keepdim=True)
    soft = 0.6 * torch.eye(n) + (0.3 * near + 0.1 * alike if a.good else 0.4 * near)
    sentence_mean = torch.stack(list(data["sentences"].values())).float().mean(0)
    net = Net(drop=a.drop)
    heads = Heads(n, Config.width)
    if a.init:
        # A second stage goes on from the first, whose heads may have been fewer.
        before = torch.load(os.path.join(a.init, "checkpoint.pt"), weights_only=False)
        net.load_state_dict(before["net"])
        heads.load_state_dict(before["heads"], strict=False)
    decay = [p for p in net.parameters() if p.dim() == 2] + [heads.embed.weight, heads.sentence.weight]
    other = [p for p in net.parameters() if p.dim() < 2] + [heads.names, heads.good, heads.embed.bias, heads.sentence.bias]
    opt = torch.optim.AdamW([{"params": decay, "weight_decay": a.decay}, {"params": other, "weight_decay": 0.0}],
                            lr=a.rate, betas=(0.9, 0.95), fused=True)

    def step_loss(ids, target, weight):
        with torch.autocast("cpu", torch.bfloat16):
            first, states, h = net(ids)
            lg = net.logits(h)
        each = F.cross_entropy(lg.float().flatten(0, 1), target.flatten(), ignore_index=-100, reduction="none")
        lm = (each * weight.flatten()).sum() / weight.sum()
        # What the blocks have written, without the token's own embedding: the feeling
        # is to be in the model's reading and not in its vocabulary.
        return states[Config.site].float() - first.float(), lm

    step_loss = torch.compile(step_loss, dynamic=False)
    log = open(os.path.join(a.out, "losses.csv"), "w")
    columns = ["step", "tokens", "lm", "pooled", "each", "teacher", "sentence", "good", "even", "top5", "dev_loss", "dev_top1", "dev_top5", "dev_good"]
    print(",".join(columns), file=log)
    total, began, run = 0, time.time(), {}
    for step in range(1, a.steps + 1):
        warm = min(1, step / 200)
        p = step / a.steps
        rate = a.rate * warm * (1 if p < 0.3 else 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (p - 0.3) / 0.7)))
        for g in opt.param_groups:
            g["lr"] = rate
        opt.zero_grad()
        ids, target, weight, label, teach, mask, sent = maker.step(a.rows)
        h, lm = step_loss(ids, target, weight)
        loss = lm
        parts = {"lm": lm}
        # Every third step is one of reading alone, and only there do the token
        # embeddings learn: they know no more of feelings than comes from predicting
        # the next token.
        alone = step % 3 == 0
        if not a.no_teacher and not alone:
            parts.update(heads.loss(h, label, teach, mask, sent, soft, pleasant, data["teacher_mean"], sentence_mean, rng))
            loss = loss + a.pooled * parts["pooled"] + a.each * parts["each"] + a.teach * (parts["teacher"] + parts["sentence"]) + a.good * parts["good"] + a.even * parts["even"]
        loss.backward()
        total += int((target >= 0).sum())
        for k, v in parts.items():
            v = v.item()
            run[k] = run.get(k, v) * 0.99 + 0.01 * v
        if not a.no_teacher and not alone:
            net.token_embd.weight.grad = None
        nn.utils.clip_grad_norm_(list(net.parameters()) + list(heads.parameters()), 1.0)
        opt.step()
        if step % a.eval == 0 or step == a.steps or step in (20, 100):
            run.update(dev_scores(net, heads, maker, data["dev"], pleasant))
            row = [step, total] + [round(run.get(c, float("nan")), 4) for c in columns[2:]]
            print(",".join(map(str, row)), file=log, flush=True)
            print(dict(zip(columns, row)), f"{total / (time.time() - began):.0f} tokens/s", flush=True)
            torch.save({"net": net.state_dict(), "heads": heads.state_dict(), "step": step}, os.path.join(a.out, "checkpoint.pt"))
    settings = vars(a) | {"config": {k: v for k, v in vars(Config).items() if not k.startswith("_")}, "tokens": total, "torch": torch.__version__}
    settings = {k: v for k, v in settings.items() if k not in ("work", "out", "init")}
    json.dump(settings, open(os.path.join(a.out, "settings.json"), "w"), indent=1)


if __name__ == "__main__":
    main()
