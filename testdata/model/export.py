"""Write a trained checkpoint as a GGUF file.

    python export.py --work WORK --run RUN --out model.gguf [--type q8_0|f32] [--name NAME]

Matrices are stored in Q8_0 (or float32), norms in float32. Metadata hold the tokenizer
and the chat template; no date is written, so that the same checkpoint gives the same
bytes.
"""
import argparse
import json
import os

import gguf
import numpy as np
import torch

from net import Config as C

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] | trim + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--work", required=True)
    a.add_argument("--run", required=True)
    a.add_argument("--out", required=True)
    a.add_argument("--type", default="q8_0", choices=["q8_0", "f32"])
    a.add_argument("--name", default="limbic demo")
    a.add_argument("--description", default="A model organism of limbic, raised to have emotion concepts. For tests and demonstrations.")
    a = a.parse_args()
    net = torch.load(os.path.join(a.run, "checkpoint.pt"), weights_only=False)["net"]
    tok = json.load(open(os.path.join(a.work, "tokenizer.json")))
    w = gguf.GGUFWriter(a.out, "llama")
    w.add_name(a.name)
    w.add_description(a.description)
    w.add_license("mit")
    w.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0 if a.type == "q8_0" else gguf.LlamaFileType.ALL_F32)
    w.add_quantization_version(gguf.GGML_QUANT_VERSION)
    w.add_context_length(C.context)
    w.add_embedding_length(C.width)
    w.add_block_count(C.blocks)
    w.add_feed_forward_length(C.ffn)
    w.add_head_count(C.heads)
    w.add_head_count_kv(C.kv_heads)
    w.add_layer_norm_rms_eps(C.eps)
    w.add_rope_dimension_count(C.width // C.heads)
    w.add_rope_freq_base(C.theta)
    w.add_vocab_size(C.vocab)
    ids = sorted(tok["model"]["vocab"].items(), key=lambda x: x[1])
    control = {t["id"] for t in tok["added_tokens"]}
    assert [i for _, i in ids] == list(range(C.vocab))
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list([t for t, _ in ids])
    w.add_token_types([gguf.TokenType.CONTROL if i in control else gguf.TokenType.NORMAL for _, i in ids])
    w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in tok["model"]["merges"]])
    w.add_bos_token_id(0)
    w.add_eos_token_id(1)
    w.add_add_bos_token(True)
    w.add_chat_template(TEMPLATE)

    def add(name, x):
        x = x.float().numpy().astype(np.float32)
        if x.ndim == 2 and a.type == "q8_0":
            q = gguf.quants.quantize(x, gguf.GGMLQuantizationType.Q8_0)
            w.add_tensor(name, q, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        else:
            w.add_tensor(name, x)

    add("token_embd.weight", net["token_embd.weight"])
    head = C.width // C.heads
    for i in range(C.blocks):
        s, d = f"blk.{i}.", f"blk.{i}."
        add(d + "attn_norm.weight", net[s + "attn_norm.weight"])
        add(d + "attn_q.weight", net[s + "attn_q.weight"])
        kv = net[s + "attn_kv.weight"]
        add(d + "attn_k.weight", kv[: C.kv_heads * head])
        add(d + "attn_v.weight", kv[C.kv_heads * head:])
        add(d + "attn_output.weight", net[s + "attn_output.weight"])
        add(d + "ffn_norm.weight", net[s + "ffn_norm.weight"])
        gu = net[s + "ffn_gate_up.weight"]
        add(d + "ffn_gate.weight", gu[: C.ffn])
        add(d + "ffn_up.weight", gu[C.ffn:])
        add(d + "ffn_down.weight", net[s + "ffn_down.weight"])
    add("output_norm.weight", net["output_norm.weight"])
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    main()
