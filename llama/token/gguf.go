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
// Where a "llama" vocabulary names no BOS, EOS or unknown id, ids 1, 2 and 0
// have these roles if the types of the tokens agree (without types, their texts),
// as writers have always taken for granted. The key tokenizer.ggml.remove_extra_whitespaces isn't
// used: text is encoded as it is.
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
		// Some writers put minus one, or its 32 bits, where there is no such
		// token. Any other id that is out of range is for New to refuse.
		if id != -1 && id != math.MaxUint32 {
			*x.id = int32(max(math.MinInt32, min(id, math.MaxInt32)))
		}
	}
	v.AddBOS = flag("add_bos_token")
	v.AddEOS = flag("add_eos_token")
	v.AddSpacePrefix = flag("add_space_prefix")
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}

	if v.Model == "llama" {
		role := func(id *int32, def int, typ int32, text string) {
			agrees := def < len(v.Types) && v.Types[def] == typ ||
				len(v.Types) == 0 && def < len(v.Tokens) && v.Tokens[def] == text
			if *id < 0 && agrees {
				*id = int32(def)
			}
		}
		role(&v.BOS, 1, TypeControl, "<s>")
		role(&v.EOS, 2, TypeControl, "</s>")
		role(&v.UNK, 0, TypeUnknown, "<unk>")
	}
	t, err := build(v)
	if err != nil {
		return nil, fmt.Errorf("token: %s: %w", f.Path, err)
	}
	return t, nil
}
