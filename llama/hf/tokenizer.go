package hf

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/limbic-go/limbic/llama/gguf"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/llama/token/hftoken"
)

// readTokenizer gives the metadata keys of the tokenizer and the chat templates.
// Tests that write no tokenizer.json replace it.
var readTokenizer = hftoken.Files.Metadata

// The keys of a tokenizer that are looked at here.
const (
	tokensKey = "tokenizer.ggml.tokens"
	scoresKey = "tokenizer.ggml.scores"
	typesKey  = "tokenizer.ggml.token_type"
	bosKey    = "tokenizer.ggml.bos_token_id"
	eosKey    = "tokenizer.ggml.eos_token_id"
	eotKey    = "tokenizer.ggml.eot_token_id"
)

// vocabulary gives the metadata keys of the tokenizer, with as many tokens as
// the embedding has rows, and of the chat templates.
func (f *folder) vocabulary(c *config, rows int) ([]gguf.KV, error) {
	var files hftoken.Files
	for _, x := range []struct {
		name string
		most int64
		to   *[]byte
	}{
		{"tokenizer.json", 128 << 20, &files.Tokenizer}, {"tokenizer_config.json", maxConfig, &files.Config},
		{"special_tokens_map.json", maxConfig, &files.SpecialTokens}, {"generation_config.json", maxConfig, &files.Generation},
		{"chat_template.jinja", maxConfig, &files.ChatTemplate},
	} {
		text, err := f.read(x.name, x.most)
		switch {
		case !errors.Is(err, fs.ErrNotExist):
		case x.to == &files.Tokenizer:
			return nil, fmt.Errorf("hf: %s: there is no %s; other tokenizers are not read: %w", f.dir, x.name, fs.ErrNotExist)
		default:
			continue
		}
		if err != nil {
			return nil, err
		}
		*x.to = text
	}
	kvs, err := readTokenizer(files)
	if err != nil {
		return nil, fmt.Errorf("hf: %s: %w", f.dir, err)
	}
	if kvs, err = c.endTokens(kvs, rows); err != nil {
		return nil, err
	}
	if at, ok := lookup(kvs, tokensKey); ok {
		if tokens, _ := kvs[at].Value.Any().([]string); rows > 2*len(tokens)+maxSpare {
			return nil, fmt.Errorf("hf: %s: the embedding has %d rows, the tokenizer only %d tokens", f.dir, rows, len(tokens))
		}
	}
	return pad(kvs, rows), nil
}

// maxSpare bounds the rows of the embedding that no token has, beside as many as
// have one.
const maxSpare = 1 << 16

func lookup(kvs []gguf.KV, key string) (int, bool) {
	i := slices.IndexFunc(kvs, func(kv gguf.KV) bool { return kv.Key == key })
	return i, i >= 0
}

// pad adds tokens that no text gives for rows of the embedding that have none:
// embeddings are often made larger than their vocabulary, and GGUF files have
// one token for each row.
func pad(kvs []gguf.KV, rows int) []gguf.KV {
	kvs = slices.Clone(kvs)
	at, ok := lookup(kvs, tokensKey)
	if !ok {
		return kvs
	}
	tokens, _ := kvs[at].Value.Any().([]string)
	have := len(tokens)
	if have >= rows {
		return kvs
	}
	for i := have; i < rows; i++ {
		tokens = append(tokens, fmt.Sprintf("[PAD%d]", i))
	}
	kvs[at].Value = gguf.Array(tokens)
	if at, ok := lookup(kvs, scoresKey); ok {
		if scores, _ := kvs[at].Value.Any().([]float32); len(scores) == have {
			kvs[at].Value = gguf.Array(append(scores, slices.Repeat([]float32{-1e6}, rows-have)...))
		}
	}
	if at, ok := lookup(kvs, typesKey); ok {
		if types, _ := kvs[at].Value.Any().([]int32); len(types) == have {
			kvs[at].Value = gguf.Array(append(types, slices.Repeat([]int32{token.TypeUnused}, rows-have)...))
		}
	}
	return kvs
}

// endTokens adds what only config.json says: which token begins a text, and
// which end one or a turn.
func (c *config) endTokens(kvs []gguf.KV, rows int) ([]gguf.KV, error) {
	kvs = slices.Clone(kvs)
	for _, o := range []*object{c.object, c.outer} {
		for _, to := range []string{bosKey, eosKey} {
			for _, id := range o.ids(strings.TrimPrefix(to, "tokenizer.ggml."), rows) {
				i, ok := lookup(kvs, to)
				if !ok {
					kvs = append(kvs, gguf.KV{Key: to, Value: gguf.Scalar(uint32(id))})
					continue
				}
				_, known := lookup(kvs, eotKey)
				if eos, isID := kvs[i].Value.Any().(uint32); to == eosKey && !known && isID && eos != uint32(id) {
					kvs = append(kvs, gguf.KV{Key: eotKey, Value: gguf.Scalar(uint32(id))})
				}
			}
		}
	}
	return kvs, *c.err
}

// ids reads a token or a list of tokens.
func (o *object) ids(key string, rows int) []int {
	if !o.has(key) {
		return nil
	}
	var list []int
	if o.fields[key][0] == '[' {
		o.decode(key, &list, "a list of tokens")
	} else {
		list = []int{o.count(key, 0)}
	}
	for _, id := range list {
		if id < 0 || id >= rows {
			o.fail("%.99q: there is no token %d", o.at+key, id)
			return nil
		}
	}
	return list
}
