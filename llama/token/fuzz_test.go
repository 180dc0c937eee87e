package token

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// seeds are texts that once were, or easily are, handled wrongly.
var seeds = []string{
	"", " ", "  ", "a", "e\u0301 e\u0301\u0323", "a  <tool> \n<|im_end|> a", "  x   x  ", "hello the thing", " the the", "\n\n\t x", "é€中🚀", "▁▁a", "<s>the</s>", "a<tool>b<tool>",
	"<tool>", "<tool> ", " <tool>a", "\xff\xfe", "\xe2\x96", "\xc3(", "'s 'LL 1234", "<0x41>", "<|im_end|>", "\x00",
}

func fuzzEncode(f *testing.F, toks ...*Tokenizer) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, tok := range toks {
			require.NoError(t, checkEncoding(tok, text, tok.Encode(text, EncodeOptions{BOS: Never})), "%q", text)

			// With everything on, ends and order must still hold.
			got := tok.Encode(text, EncodeOptions{BOS: Always, EOS: Always, Special: true})
			require.NotEmpty(t, got) // EOS at least
			at := 0
			for _, x := range got {
				require.True(t, tok.valid(x.ID))
				require.Equal(t, at, x.Start, "%q", text)
				require.GreaterOrEqual(t, x.End, x.Start)
				at = x.End
			}
			require.Equal(t, len(text), at)
			eos, _ := tok.EOS()
			require.Equal(t, eos, got[len(got)-1].ID)
		}
	})
}

func FuzzEncodeSPM(f *testing.F) {
	no := false
	bare := tinySPM()
	bare.AddSpacePrefix = &no
	whole := must(tinySPM())
	whole.spm.wordwise = false
	first := tinySPM()
	first.Prefix = PrefixFirst
	fuzzEncode(f, must(tinySPM()), must(bare), whole, must(first))
}

func FuzzEncodeBPE(f *testing.F) {
	var toks []*Tokenizer
	for _, s := range splitters {
		v := tinyBPE()
		v.Pre = s.name
		toks = append(toks, must(v))
	}
	nfc, edges := tinyBPE(), tinyBPE()
	nfc.NFC = true
	edges.LStrip, edges.RStrip, edges.SingleWord = []int32{edges.EOS + 1}, []int32{edges.EOS + 2}, []int32{edges.EOS + 2}
	fuzzEncode(f, append(toks, must(nfc), must(edges))...)
}

// FuzzNew gives New vocabularies put together from fuzzed bytes. It must refuse
// them or make a tokenizer that holds its promises.
func FuzzNew(f *testing.F) {
	f.Add(true, "gpt-2", "<unk>\x00<s>\x00▁\x00a\x00▁a\x00<0x41>", "", []byte{2, 3, 1, 1, 1, 6}, []byte{0, 1, 2, 3}, "a A")
	f.Add(false, "qwen2", "a\x00b\x00ab\x00Ġ\x00<x>", "a b\x00ab a", []byte{1, 1, 1, 1, 4}, []byte{4, 4}, "ab ab<x>")
	f.Add(false, "llama3", "a\x00\x00 b", "a  b", []byte{}, []byte{255}, "")
	f.Fuzz(func(t *testing.T, spm bool, pre, tokens, merges string, types, ids []byte, text string) {
		v := NoIDs()
		v.Model, v.Pre = "gpt2", pre
		v.Tokens = strings.Split(tokens, "\x00")
		if merges != "" {
			v.Merges = strings.Split(merges, "\x00")
		}
		for _, b := range types {
			v.Types = append(v.Types, int32(b))
		}
		if spm {
			v.Model = "llama"
			for i := range v.Tokens {
				v.Scores = append(v.Scores, float32(i%3))
			}
		}
		for i, p := range []*int32{&v.BOS, &v.EOS, &v.EOT, &v.EOM, &v.UNK, &v.PAD} {
			if i < len(ids) {
				*p = int32(int8(ids[i]))
			}
		}
		if len(ids) > 8 { // an arbitrary score
			v.Scores = slices.Repeat([]float32{float32(binary.LittleEndian.Uint16(ids[6:]))}, len(v.Tokens))
		}
		tok, err := New(v)
		if err != nil {
			require.True(t, strings.HasPrefix(err.Error(), "token: "), err)
			return
		}
		got := tok.Encode(text, EncodeOptions{BOS: Never})
		require.NoError(t, checkEncoding(tok, text, got))
		for id := int32(-2); int(id) < tok.Size()+2; id++ {
			tok.Piece(id)
			tok.Text(id)
			tok.IsEOG(id)
		}
		tok.DecodeSpecial(IDs(tok.Encode(text, EncodeOptions{Special: true})))
	})
}
