package probe

import (
	"math"

	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/token"
)

// A Format names how a text is wrapped before it is read.
type Format string

// FormatRaw is the text alone, behind BOS where the model adds one.
const FormatRaw Format = "raw"

// Encode makes a Text of a string for a model: BOS as the model's file says,
// no EOS, special tokens as plain text. A text longer than the model's context
// is cut, and marked so.
func Encode(m *llama.Model, text string) Text {
	var t Text
	tok := m.Tokenizer()
	t.Tokens = tok.Encode(text, token.EncodeOptions{EOS: token.Never})
	if id, ok := tok.BOS(); ok && tok.AddsBOS() && len(t.Tokens) > 0 && t.Tokens[0].ID == id {
		t.Skip = 1
	}
	if n := m.Config().Context; len(t.Tokens) > n {
		t.Tokens, t.Cut = t.Tokens[:n], true
	}
	return t
}

func floatBits(x float32) uint32 { return math.Float32bits(x) }
