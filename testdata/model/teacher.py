"""Sentence embeddings of MiniLM-L6-v2, in plain PyTorch."""
import torch, torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer
class MiniLM:
    def __init__(s, d):
        s.w=load_file(d+'/model.safetensors'); s.tok=Tokenizer.from_file(d+'/tokenizer.json')
        s.tok.no_padding(); s.tok.enable_truncation(256)
        s.w={k.removeprefix('bert.'):v for k,v in s.w.items()}
    def ln(s,x,n): return F.layer_norm(x,(384,),s.w[n+'.weight'],s.w[n+'.bias'],1e-12)
    def lin(s,x,n): return F.linear(x,s.w[n+'.weight'],s.w[n+'.bias'])
    @torch.no_grad()
    def hidden(s, ids, mask):
        T=ids.shape[1]
        x=s.w['embeddings.word_embeddings.weight'][ids]+s.w['embeddings.position_embeddings.weight'][:T]+s.w['embeddings.token_type_embeddings.weight'][0]
        x=s.ln(x,'embeddings.LayerNorm')
        m=mask[:,None,None,:].bool()
        for i in range(6):
            p=f'encoder.layer.{i}.'
            q,k,v=[s.lin(x,p+'attention.self.'+n).view(x.shape[0],T,12,32).transpose(1,2) for n in('query','key','value')]
            a=F.scaled_dot_product_attention(q,k,v,attn_mask=m).transpose(1,2).reshape(x.shape)
            x=s.ln(x+s.lin(a,p+'attention.output.dense'),p+'attention.output.LayerNorm')
            h=s.lin(F.gelu(s.lin(x,p+'intermediate.dense')),p+'output.dense')
            x=s.ln(x+h,p+'output.LayerNorm')
        return x
    def embed(s, texts, bs=64):
        order=sorted(range(len(texts)),key=lambda i:len(texts[i])); out=torch.zeros(len(texts),384)
        for a in range(0,len(order),bs):
            ix=order[a:a+bs]; enc=[s.tok.encode(texts[i]).ids for i in ix]; T=max(map(len,enc))
            ids=torch.zeros(len(ix),T,dtype=torch.long); m=torch.zeros(len(ix),T)
            for j,e in enumerate(enc): ids[j,:len(e)]=torch.tensor(e); m[j,:len(e)]=1
            h=s.hidden(ids,m); v=(h*m[...,None]).sum(1)/m.sum(1,keepdim=True)
            out[ix]=F.normalize(v,dim=1)
        return out
