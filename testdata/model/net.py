"""The network of the embedded model: a small Llama, in plain PyTorch.

The names and the arithmetic are those of GGUF's architecture `llama`: RMS norm,
rotary positions on neighbouring pairs (0,1), (2,3), …, grouped heads, SwiGLU,
no biases, the output matrix tied to the embedding.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F


class Config:
    vocab = 6144
    width = 256
    blocks = 5
    heads = 4
    kv_heads = 2
    ffn = 512
    context = 512
    theta = 10000.0
    eps = 1e-5
    # The site where limbic reads by default: block floor(2L/3), counted from 0.
    site = 3


class Norm(nn.Module):
    def __init__(self, n, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n))
        self.eps = eps

    def forward(self, x):
        x = x.float()
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def rotate(x, cos, sin):
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


def keep(x, p, training):
    """A dropout mask that is the same at all positions of a row."""
    if not training or p == 0:
        return 1.0
    return (torch.rand(x.shape[0], 1, x.shape[2]) >= p).to(x.dtype) / (1 - p)


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.head = c.width // c.heads
        self.attn_norm = Norm(c.width, c.eps)
        self.attn_q = nn.Linear(c.width, c.width, bias=False)
        self.attn_kv = nn.Linear(c.width, 2 * c.kv_heads * self.head, bias=False)
        self.attn_output = nn.Linear(c.width, c.width, bias=False)
        self.register_buffer("causal", torch.ones(c.context, c.context, dtype=torch.bool).tril(), persistent=False)
        self.ffn_norm = Norm(c.width, c.eps)
        self.ffn_gate_up = nn.Linear(c.width, 2 * c.ffn, bias=False)
        self.ffn_down = nn.Linear(c.ffn, c.width, bias=False)

    def forward(self, x, cos, sin, drop):
        c, (b, t, _) = self.c, x.shape
        h = self.attn_norm(x)
        q = self.attn_q(h).view(b, t, c.heads, self.head).transpose(1, 2)
        k, v = self.attn_kv(h).view(b, t, 2 * c.kv_heads, self.head).transpose(1, 2).chunk(2, 1)
        q, k = rotate(q, cos, sin).to(v.dtype), rotate(k, cos, sin).to(v.dtype)
        n = c.heads // c.kv_heads
        k, v = k.repeat_interleave(n, 1), v.repeat_interleave(n, 1)
        # Written out: for such short rows faster on a CPU than the fused kernel.
        w = (q @ k.transpose(-1, -2)).float() * self.head**-0.5
        w = w.masked_fill(~self.causal[:t, :t], float("-inf")).softmax(-1)
        a = w.to(v.dtype) @ v
        a = self.attn_output(a.transpose(1, 2).reshape(b, t, -1))
        x = x + a * keep(a, drop, self.training)
        g, u = self.ffn_gate_up(self.ffn_norm(x)).chunk(2, -1)
        f = self.ffn_down(F.silu(g) * u)
        return x + f * keep(f, drop, self.training)


class Net(nn.Module):
    def __init__(self, c=Config, drop=0.0):
        super().__init__()
        self.c, self.drop = c, drop
        self.token_embd = nn.Embedding(c.vocab, c.width)
        self.blk = nn.ModuleList(Block(c) for _ in range(c.blocks))
        self.output_norm = Norm(c.width, c.eps)
        head = c.width // c.heads
        f = c.theta ** (-torch.arange(0, head, 2).float() / head)
        angles = torch.arange(c.context).float()[:, None] * f
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                scale = 0.02
                if name.endswith(("attn_output.weight", "ffn_down.weight")):
                    scale /= (2 * c.blocks) ** 0.5
                nn.init.normal_(p, 0, scale)

    def forward(self, ids):
        """The embeddings of the tokens, the residual streams after each block, and the
        normed last one."""
        t = ids.shape[1]
        x = self.token_embd(ids)
        x = x * keep(x, self.drop, self.training)
        first, states = x, []
        for b in self.blk:
            x = b(x, self.cos[:t], self.sin[:t], self.drop)
            states.append(x)
        return first, states, self.output_norm(x)

    def logits(self, h):
        return F.linear(h, self.token_embd.weight)
