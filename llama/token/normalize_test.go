package token

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"

	"github.com/limbic-go/limbic/llama/gguf"
)

// Composed characters are one token that spans what they were composed of.
func TestNFC(t *testing.T) {
	v := tinyBPE()
	v.NFC = true
	tok := must(v)
	require.False(t, tok.Lossless())
	for text, want := range map[string]string{
		"the e\u0301":              "the[0:3] ·[3:4] é[4:7]",
		"e\u0301e\u0301":           "é[0:3] é[3:6]",
		"\u00e9 the":               "é[0:2] ·the[2:6]",
		"e\u0301<tool>e\u0301":     "é[0:3] <tool>[3:9] é[9:12]",
		"u\u0308":                  "<0xC3>[0:3] <0xBC>[3:3]", // ü has no token: two bytes of three
		"a\u0323\u0302 \xff\u0301": "<0xE1>[0:5] <0xBA>[5:5] <0xAD>[5:5] ·[5:6] <0xFF>[6:7] <0xCC>[7:8] <0x81>[8:9]",
	} {
		require.Equal(t, want, show(tok, tok.Encode(text, EncodeOptions{})), "%q", text)
	}
}

func TestCompose(t *testing.T) {
	for _, s := range []string{"", "a", "e\u0301", "xe\u0301ye\u0301\u0323", "\u1112\u1161\u11ab", "\xc3e\u0301\xff"} {
		got, from := compose(s)
		require.Equal(t, norm.NFC.String(s), got, "%q", s)
		if from == nil {
			require.Equal(t, s, got)
			continue
		}
		require.Equal(t, origin{to: len(got), from: len(s)}, from[len(from)-1])
		// Each stretch, normalized, is what it became.
		for i := range len(from) - 1 {
			require.Equal(t, norm.NFC.String(s[from[i].from:from[i+1].from]), got[from[i].to:from[i+1].to], "%q", s)
		}
	}
}

// Spaces that are taken away belong to the character after them, or to the last
// one.
func TestTrimSpaces(t *testing.T) {
	v := tinySPM()
	v.TrimSpaces = true
	tok := must(v)
	for text, want := range map[string]string{
		"the the":          "·the[0:3] ·the[3:7]",
		"  the   the  ":    "·the[0:5] ·the[5:13]",
		"x  x":             "·[0:0] x[0:1] ·[1:3] x[3:4]",
		"   ":              "",
		"the  <tool>  the": "·the[0:3] ·[3:5] <tool>[5:11] ·[11:11] ·the[11:16]",
		"  \u00e9":         "·[0:0] é[0:4]",
	} {
		require.Equal(t, want, show(tok, tok.Encode(text, EncodeOptions{BOS: Never})), "%q", text)
	}
	f := file(t, tinySPM(), func(kv map[string]gguf.Value) { kv["remove_extra_whitespaces"] = gguf.Scalar(true) })
	again, err := FromGGUF(f)
	require.NoError(t, err)
	require.Equal(t, tok.Hash(), again.Hash())
	require.NotEqual(t, must(tinySPM()).Hash(), tok.Hash())
}

func TestPrefixSchemes(t *testing.T) {
	for scheme, want := range map[PrefixScheme][3]string{
		PrefixEach:    {"·the[0:3]", "·[0:0] ·the[0:4]", "·a[0:1] <tool>[1:7] ·a[7:8]"},
		PrefixFirst:   {"·the[0:3]", "·the[0:4]", "·a[0:1] <tool>[1:7] a[7:8]"},
		PrefixMissing: {"·the[0:3]", "·the[0:4]", "·a[0:1] <tool>[1:7] ·a[7:8]"},
	} {
		v := tinySPM()
		v.Prefix = scheme
		tok := must(v)
		for i, text := range []string{"the", " the", "a<tool>a"} {
			got := tok.Encode(text, EncodeOptions{BOS: Never})
			require.Equal(t, want[i], show(tok, got), "%q %q", scheme, text)
			if text != " the" {
				require.Equal(t, text, string(tok.Decode(IDs(got))), "%q", scheme)
			}
		}
	}
}

// Tokens that take white space span it; a single word stands alone.
func TestEdges(t *testing.T) {
	v := tinyBPE()
	add := func(text string, typ int32) int32 {
		v.Tokens, v.Types = append(v.Tokens, text), append(v.Types, typ)
		return int32(len(v.Tokens) - 1)
	}
	left, right := add("<l>", TypeControl), add("<r>", TypeControl)
	single := add("the", TypeUserDefined)
	v.Tokens[single] = "thing"
	v.LStrip, v.RStrip, v.SingleWord = []int32{left}, []int32{right}, []int32{single}
	tok := must(v)
	for text, want := range map[string]string{
		"a <l> a":        "a[0:1] <l>[1:5] ·a[5:7]",
		"a <r> \n a":     "a[0:1] ·[1:2] <r>[2:8] a[8:9]",
		" \t<l>":         "<l>[0:5]",
		"<r>  ":          "<r>[0:5]",
		"<r>  <l>  <r>a": "<r>[0:5] <l>[5:8] ··[8:10] <r>[10:13] a[13:14]",
		"<l><r>":         "<l>[0:3] <r>[3:6]",
		"<r> <tool>":     "<r>[0:4] <tool>[4:10]",
		"thing a thing":  "thing[0:5] ·a[5:7] ·[7:8] thing[8:13]",
		"things _thing":  "th[0:2] ing[2:5] s[5:6] ·[6:7] _[7:8] th[8:10] ing[10:13]",
		"é\u0301thing":   "é[0:2] <0xCC>[2:3] <0x81>[3:4] th[4:6] ing[6:9]",
		"thing.":         "thing[0:5] .[5:6]",
	} {
		require.Equal(t, want, show(tok, tok.Encode(text, EncodeOptions{Special: true})), "%q", text)
	}
	// As text they take nothing.
	require.Equal(t, "a <l> a", string(tok.Decode(IDs(tok.Encode("a <l> a", EncodeOptions{})))))
}

// BOS and EOS that the text spells are not added again.
func TestNeverDoubled(t *testing.T) {
	v := tinySPM()
	yes := true
	v.AddEOS = &yes
	tok := must(v)
	for text, want := range map[string]string{
		"":           "<s>[0:0] </s>[0:0]",
		"the":        "<s>[0:0] ·the[0:3] </s>[3:3]",
		"<s>the</s>": "<s>[0:3] ·the[3:6] </s>[6:10]",
		"<s><s>the":  "<s>[0:3] <s>[3:6] ·the[6:9] </s>[9:9]",
		"the<s>":     "<s>[0:0] ·the[0:3] <s>[3:6] </s>[6:6]",
		"</s>":       "<s>[0:0] </s>[0:4]",
	} {
		require.Equal(t, want, show(tok, tok.Encode(text, EncodeOptions{Special: true})), "%q", text)
	}
	require.Equal(t, "<s>[0:0] ·[0:0] <s[0:2] >[2:3] </s>[3:3]", show(tok, tok.Encode("<s>", EncodeOptions{})), "as text it is text")
}

// What a vocabulary says goes into a GGUF file and comes back.
func TestMetadata(t *testing.T) {
	no, yes := false, true
	for name, edit := range map[string]func(v *Vocab){
		"plain":  func(*Vocab) {},
		"flags":  func(v *Vocab) { v.AddBOS, v.AddEOS = &no, &yes },
		"nfc":    func(v *Vocab) { v.NFC = true },
		"prefix": func(v *Vocab) { v.Prefix = PrefixFirst },
		"edges": func(v *Vocab) {
			v.LStrip, v.RStrip, v.SingleWord, v.EOG = []int32{1}, []int32{2}, []int32{2}, []int32{5}
		},
		"whole": func(v *Vocab) { v.WholeWords = &yes },
	} {
		for _, v := range []Vocab{tinySPM(), tinyBPE()} {
			edit(&v)
			want := must(v)
			f := file(t, v, func(kv map[string]gguf.Value) {
				clear(kv)
				for _, x := range v.Metadata() {
					kv[strings.TrimPrefix(x.Key, "tokenizer.ggml.")] = x.Value
				}
				for k, x := range kv { // file prefixes what is not of its own
					if strings.HasPrefix(k, ownPrefix) {
						delete(kv, k)
						kv["/"+k] = x
					}
				}
			})
			got, err := FromGGUF(f)
			require.NoError(t, err, name)
			require.Equal(t, want.Hash(), got.Hash(), "%s, %s", name, v.Model)
		}
	}
}

// Control tokens of Phi-3 take the white space after them, though GGUF files
// don't say so.
func TestPhi3(t *testing.T) {
	v := tinySPM()
	f := file(t, v, func(kv map[string]gguf.Value) { kv["/general.architecture"] = gguf.Scalar("phi3") })
	tok, err := FromGGUF(f)
	require.NoError(t, err)
	require.Equal(t, "<s>[0:3] ··[3:4] ·a[4:6] </s>[6:12] ·a[12:13]", show(tok, tok.Encode("<s>  a</s> \na", EncodeOptions{Special: true})))
}

// Regular expressions lead to the splitters that are defined by them.
func TestSplitterOf(t *testing.T) {
	for _, x := range expressions {
		s, ok := splitterByName(x.name)
		require.True(t, ok, x.name)
		name, whole, ok := SplitterOf(x.stages, s.wholeWords)
		require.True(t, ok, x.name)
		require.Equal(t, x.name, name)
		require.Equal(t, s.wholeWords, whole)
	}
	seen := map[string]bool{}
	for _, x := range expressions {
		seen[x.name] = true
	}
	require.Len(t, seen, len(splitters), "a splitter without expressions")
	name, _, ok := SplitterOf([]string{"[\r\n]", `\s?\p{L}+`, `\s?\p{P}+`, `[一-龥ࠀ-一가-퟿]+`, `\p{N}`}, false)
	require.True(t, ok, "line breaks as characters")
	require.Equal(t, "deepseek-coder", name)
	name, whole, ok := SplitterOf([]string{exprGPT2}, true)
	require.True(t, ok)
	require.False(t, whole)
	require.Equal(t, "gpt-2", name)
	_, _, ok = SplitterOf([]string{`\d`}, false)
	require.False(t, ok)
}
