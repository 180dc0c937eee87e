package token

import (
	"errors"
	"fmt"
	"math"

	"github.com/limbic-go/limbic/llama/gguf"
)

// FromGGUF makes the tokenizer of a model file, from the keys tokenizer.ggml.*.
// Errors about a key name the file and the key, other errors the file.
//
// Where a "llama" vocabulary says nothing of BOS, EOS or the unknown id, ids 1, 2 and 0
// have these roles if the types of the tokens agree (without types, their texts),
// as writers have always taken for granted.
//
// GGUF has no keys for some of what Vocab says; limbic writes them as
// limbic.tokenizer.* (see [Vocab.Metadata]). Where a file of architecture phi3
// with a "llama" vocabulary has none, its control tokens but the first ones take
// the white space after them, as those of Phi-3 do.
func FromGGUF(f *gguf.File) (*Tokenizer, error) {
	const prefix = "tokenizer.ggml."
	v := NoIDs()
	var errs []error
	keep := func(err error) {
		if err != nil && !errors.Is(err, gguf.ErrMissing) {
			errs = append(errs, err)
		}
	}
	flag := func(key string) *bool {
		b, err := f.Bool(prefix + key)
		keep(err)
		if err != nil {
			return nil
		}
		return &b
	}

	var err error
	if v.Model, err = f.String(prefix + "model"); err != nil {
		return nil, err
	}
	if v.Tokens, err = f.Strings(prefix + "tokens"); err != nil {
		return nil, err
	}
	v.Pre, err = f.StringOr(prefix+"pre", "")
	keep(err)
	if v.Model == "llama" {
		v.Scores, err = f.Floats(prefix + "scores")
		keep(err)
	} else {
		v.Merges, err = f.Strings(prefix + "merges")
		keep(err)
	}
	v.Types, err = f.Int32s(prefix + "token_type")
	keep(err)
	said := map[*int32]bool{} // that there is such a token, or none
	for _, x := range []struct {
		key string
		id  *int32
	}{
		{"bos_token_id", &v.BOS}, {"eos_token_id", &v.EOS}, {"eot_token_id", &v.EOT},
		{"eom_token_id", &v.EOM}, {"unknown_token_id", &v.UNK}, {"padding_token_id", &v.PAD},
	} {
		id, err := f.Int(prefix + x.key)
		keep(err)
		if err != nil {
			continue
		}
		said[x.id] = true
		// Some writers put minus one, or its 32 bits, where there is no such
		// token. Any other id that is out of range is for New to refuse.
		if id != -1 && id != math.MaxUint32 {
			*x.id = int32(max(math.MinInt32, min(id, math.MaxInt32)))
		}
	}
	v.AddBOS = flag("add_bos_token")
	v.AddEOS = flag("add_eos_token")
	v.AddSpacePrefix = flag("add_space_prefix")
	v.TrimSpaces = v.Model == "llama" && orDefault(flag("remove_extra_whitespaces"), false)
	v.NFC = orDefault(flag("normalizer.nfc"), false)
	if on, err := f.Bool(ownPrefix + "whole_words"); err == nil {
		v.WholeWords = &on
	} else {
		keep(err)
	}
	scheme, err := f.StringOr(ownPrefix+"prefix_scheme", "")
	keep(err)
	v.Prefix = PrefixScheme(scheme)
	for _, x := range v.idLists() {
		*x.ids, err = f.Int32s(ownPrefix + x.key)
		keep(err)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}

	if v.Model == "llama" {
		role := func(id *int32, def int, typ int32, text string) {
			agrees := def < len(v.Types) && v.Types[def] == typ ||
				len(v.Types) == 0 && def < len(v.Tokens) && v.Tokens[def] == text
			if !said[id] && agrees {
				*id = int32(def)
			}
		}
		role(&v.BOS, 1, TypeControl, "<s>")
		role(&v.EOS, 2, TypeControl, "</s>")
		role(&v.UNK, 0, TypeUnknown, "<unk>")
	}
	if arch, _ := f.String("general.architecture"); arch == "phi3" && v.Model == "llama" && v.RStrip == nil {
		for id, typ := range v.Types {
			if typ == TypeControl && int32(id) != v.BOS && id < len(v.Tokens) && v.Tokens[id] != "<|endoftext|>" {
				v.RStrip = append(v.RStrip, int32(id))
			}
		}
	}
	t, err := build(v)
	if err != nil {
		return nil, fmt.Errorf("token: %s: %w", f.Path, err)
	}
	return t, nil
}

// ownPrefix begins the keys that other programs don't know.
const ownPrefix = "limbic.tokenizer."

type idList struct {
	key string
	ids *[]int32
}

func (v *Vocab) idLists() []idList {
	return []idList{{"lstrip", &v.LStrip}, {"rstrip", &v.RStrip}, {"single_word", &v.SingleWord}, {"eog", &v.EOG}}
}

// Metadata gives the keys that a GGUF file says this vocabulary with, in order:
// [FromGGUF] makes the same tokenizer of them as [New] of the vocabulary. Keys
// that would say a default are left out, but for add_bos_token, add_eos_token and
// add_space_prefix where the vocabulary decides them. What GGUF has no key for is
// written as
//
//	limbic.tokenizer.prefix_scheme  string, Vocab.Prefix
//	limbic.tokenizer.whole_words    bool, Vocab.WholeWords
//	limbic.tokenizer.lstrip, rstrip, single_word, eog  int32 arrays of ids
//
// and other programs do without it.
func (v *Vocab) Metadata() []gguf.KV {
	const prefix = "tokenizer.ggml."
	var kvs []gguf.KV
	add := func(key string, value gguf.Value) { kvs = append(kvs, gguf.KV{Key: key, Value: value}) }
	flag := func(key string, b *bool) {
		if b != nil {
			add(key, gguf.Scalar(*b))
		}
	}
	add(prefix+"model", gguf.Scalar(v.Model))
	if v.Pre != "" {
		add(prefix+"pre", gguf.Scalar(v.Pre))
	}
	add(prefix+"tokens", gguf.Array(v.Tokens))
	if len(v.Scores) > 0 {
		add(prefix+"scores", gguf.Array(v.Scores))
	}
	if len(v.Types) > 0 {
		add(prefix+"token_type", gguf.Array(v.Types))
	}
	if len(v.Merges) > 0 {
		add(prefix+"merges", gguf.Array(v.Merges))
	}
	for _, x := range []struct {
		key    string
		id     int32
		custom bool // "llama" vocabularies have it unless the file says they haven't
	}{
		{"bos_token_id", v.BOS, true}, {"eos_token_id", v.EOS, true}, {"eot_token_id", v.EOT, false},
		{"eom_token_id", v.EOM, false}, {"unknown_token_id", v.UNK, true}, {"padding_token_id", v.PAD, false},
	} {
		if x.id >= 0 || x.custom && v.Model == "llama" {
			add(prefix+x.key, gguf.Scalar(uint32(x.id)))
		}
	}
	flag(prefix+"add_bos_token", v.AddBOS)
	flag(prefix+"add_eos_token", v.AddEOS)
	flag(prefix+"add_space_prefix", v.AddSpacePrefix)
	if v.TrimSpaces {
		add(prefix+"remove_extra_whitespaces", gguf.Scalar(true))
	}
	if v.NFC {
		add(prefix+"normalizer.nfc", gguf.Scalar(true))
	}
	if v.Prefix != PrefixEach {
		add(ownPrefix+"prefix_scheme", gguf.Scalar(string(v.Prefix)))
	}
	flag(ownPrefix+"whole_words", v.WholeWords)
	for _, x := range v.idLists() {
		if len(*x.ids) > 0 {
			add(ownPrefix+x.key, gguf.Array(*x.ids))
		}
	}
	return kvs
}
