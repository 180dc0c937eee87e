package token

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

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
		{"a real space follows the prefix", " the", EncodeOptions{BOS: Never}, "·[0:0] ·the[0:4]"},
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
			require.Equal(t, c.want, show(tok, got))
			if !c.opt.Special {
				require.NoError(t, checkEncoding(tok, c.text, got))
			}
		})
	}
}

func TestEncodeBPE(t *testing.T) {
	tok := must(tinyBPE())
	require.True(t, tok.Lossless())
	for _, c := range []struct {
		name, text string
		opt        EncodeOptions
		want       string
	}{
		{"merges by rank", "the thing", EncodeOptions{}, "the[0:3] ·[3:4] th[4:6] ing[6:9]"},
		{"a merge that is whole", " the", EncodeOptions{}, "·the[0:4]"},
		{"runs", "        x", EncodeOptions{}, "····[0:4] ··[4:6] ·[6:7] ·[7:8] x[8:9]"},
		{"nothing", "", EncodeOptions{}, ""},
		{"multi-byte", "é", EncodeOptions{}, "é[0:2]"},
		{"unmerged bytes keep their own", "€", EncodeOptions{}, "<0xE2>[0:1] <0x82>[1:2] <0xAC>[2:3]"},
		{"invalid bytes", "\xff\xc3a", EncodeOptions{}, "<0xFF>[0:1] <0xC3>[1:2] a[2:3]"},
		{"special text is text", "<|im_end|>", EncodeOptions{}, "<[0:1] |[1:2] i[2:3] m[3:4] _[4:5] e[5:6] n[6:7] d[7:8] |[8:9] >[9:10]"},
		{"special text parsed", "the<|im_end|>", EncodeOptions{Special: true}, "the[0:3] <|im_end|>[3:13]"},
		{"user-defined", "a<tool>a", EncodeOptions{}, "a[0:1] <tool>[1:7] a[7:8]"},
		{"a token it doesn't have can't be added", "a", EncodeOptions{BOS: Always, EOS: Always}, "a[0:1] <|endoftext|>[1:1]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := tok.Encode(c.text, c.opt)
			require.Equal(t, c.want, show(tok, got))
			if !c.opt.Special && c.opt.EOS != Always {
				require.NoError(t, checkEncoding(tok, c.text, got))
			}
		})
	}
}

// User-defined tokens made of spaces are cut out where they are written with
// spaces, and merged where they are written with ▁.
func TestUserDefinedSpaces(t *testing.T) {
	no := false
	v := tinySPM()
	v.AddSpacePrefix = &no
	v.Tokens = append(v.Tokens, "   ", "▁x", "\n\n")
	v.Scores = append(v.Scores, 0, 1, 0)
	v.Types = append(v.Types, TypeUserDefined, TypeUserDefined, TypeUserDefined)
	tok := must(v)
	for text, want := range map[string]string{
		"a   a":    "a[0:1] ···[1:4] a[4:5]",
		"     x":   "···[0:3] ·[3:4] ·x[4:6]",
		"a\n\n\nx": "a[0:1] \n\n[1:3] \n[3:4] x[4:5]",
		"▁x":       "<0xE2>[0:1] <0x96>[1:2] <0x81>[2:3] x[3:4]",
	} {
		got := tok.Encode(text, EncodeOptions{BOS: Never})
		require.Equal(t, want, show(tok, got), "%q", text)
		require.NoError(t, checkEncoding(tok, text, got))
	}
}

// With a splitter that wants whole words, a word that is a token is that token
// even where merging can't make it.
func TestWholeWords(t *testing.T) {
	v := tinyBPE()
	v.Tokens = append(v.Tokens, "Ġabc")
	v.Types = append(v.Types, TypeNormal)
	require.Equal(t, "·a[0:2] b[2:3] c[3:4]", show(must(v), must(v).Encode(" abc", EncodeOptions{})))
	v.Pre = "llama3"
	tok := must(v)
	require.Equal(t, "llama-bpe", tok.Pre())
	require.Equal(t, "·abc[0:4]", show(tok, tok.Encode(" abc", EncodeOptions{})))
}

// A merge may make what is no token, as a step to what is one.
func TestMergeThroughNoToken(t *testing.T) {
	v := tinyBPE()
	v.Merges = append(v.Merges, "q r", "qr s")
	v.Tokens = append(v.Tokens, "qrs")
	v.Types = append(v.Types, TypeNormal)
	tok := must(v)
	require.Equal(t, "qrs[0:3]", show(tok, tok.Encode("qrs", EncodeOptions{})))
	require.Equal(t, "q[0:1] r[1:2]", show(tok, tok.Encode("qr", EncodeOptions{})))
}

// A vocabulary that can't spell everything: unknown tokens, or gaps.
func TestNotLossless(t *testing.T) {
	v := NoIDs()
	v.Model = "llama"
	v.Tokens = []string{"<unk>", "▁", "a", "<0x41>"}
	v.Scores = make([]float32, 4)
	v.Types = []int32{TypeUnknown, TypeNormal, TypeNormal, TypeByte}
	v.UNK = 0
	tok := must(v)
	require.False(t, tok.Lossless())
	require.Equal(t, "▁[0:0] a[0:1] <unk>[1:3] <0x41>[3:4]", spelled(tok, tok.Encode("aéA", EncodeOptions{})))
	v.UNK = -1
	tok = must(v)
	require.Equal(t, "▁[0:0] a[0:1] <0x41>[3:4]", spelled(tok, tok.Encode("aéA", EncodeOptions{})))

	v = tinyBPE()
	v.Tokens[0xFF] = "[gone]"
	v.Types[0xFF] = TypeControl
	tok = must(v)
	require.False(t, tok.Lossless())
	require.Equal(t, "a[0:1] b[2:3]", show(tok, tok.Encode("a\xffb", EncodeOptions{})))
}

// spelled is show with tokens as the vocabulary writes them.
func spelled(tok *Tokenizer, got []Token) string {
	var b []string
	for _, x := range got {
		b = append(b, fmt.Sprintf("%s[%d:%d]", tok.texts[x.ID], x.Start, x.End))
	}
	return strings.Join(b, " ")
}

func TestDecode(t *testing.T) {
	tok := must(tinySPM())
	id := func(text string) int32 {
		id, ok := tok.Lookup(text)
		require.True(t, ok, text)
		return id
	}
	the, tool := id("▁the"), id("<tool>")
	require.Equal(t, "the the", string(tok.Decode([]int32{1, the, the, 2})))
	require.Equal(t, "<s>the the</s>", string(tok.DecodeSpecial([]int32{1, the, the, 2})))
	require.Equal(t, "the<tool>the the", string(tok.Decode([]int32{the, tool, the, the})))
	require.Equal(t, "x the", string(tok.Decode([]int32{id("x"), the})), "only what may be a prefix is stripped")
	require.Equal(t, "the", string(tok.Decode([]int32{-1, 1 << 20, the})), "foreign ids are skipped")
	require.Empty(t, tok.Decode([]int32{0, 1, 2}))
	require.Empty(t, tok.Decode(nil))

	require.Equal(t, " the", string(tok.Piece(the)))
	require.Equal(t, "\n", string(tok.Piece(id("<0x0A>"))))
	require.Empty(t, tok.Piece(1))
	require.Empty(t, tok.Piece(0))
	require.Empty(t, tok.Piece(-1))
	require.Equal(t, "<s>", tok.Text(1))
	require.Equal(t, "<0xE2>", tok.Text(id("<0xE2>")))
	require.Equal(t, "", tok.Text(int32(tok.Size())))

	// Pieces, one after the other, are the text, prefix space included.
	var streamed []byte
	for _, x := range tok.Encode("hello the €", EncodeOptions{}) {
		streamed = append(streamed, tok.Piece(x.ID)...)
	}
	require.Equal(t, " hello the €", string(streamed))
}

func TestRoles(t *testing.T) {
	tok := must(tinySPM())
	bos, ok := tok.BOS()
	require.True(t, ok)
	require.Equal(t, int32(1), bos)
	_, ok = tok.EOT()
	require.False(t, ok)
	unk, ok := tok.UNK()
	require.True(t, ok)
	require.Zero(t, unk)
	require.True(t, tok.AddsBOS())
	require.False(t, tok.AddsEOS())
	require.True(t, tok.AddsSpacePrefix())
	require.Equal(t, "llama", tok.Model())
	require.Equal(t, "", tok.Pre())
	require.True(t, tok.IsEOG(2))
	require.False(t, tok.IsEOG(1))
	require.True(t, tok.IsControl(1))
	require.False(t, tok.IsControl(0))
	require.False(t, tok.IsControl(-1))
	require.Equal(t, TypeByte, tok.Type(3))

	v := tinyBPE()
	im, _ := must(v).Lookup("<|im_end|>")
	require.True(t, must(v).IsEOG(im), "by its text")
	require.True(t, must(v).IsEOG(v.EOS))
	v.Types[im] = TypeUserDefined
	require.False(t, must(v).IsEOG(im), "text that is not control ends nothing")
	v.EOT = im
	require.True(t, must(v).IsEOG(im), "unless the file says so")
	require.False(t, must(v).AddsBOS())
	require.False(t, must(v).AddsSpacePrefix())
}

// Without types, roles and the look of byte tokens tell what is no text.
func TestInferredTypes(t *testing.T) {
	v := tinySPM()
	want := must(v)
	v.Types = nil
	got := must(v)
	for id := range int32(got.Size()) {
		if want.Type(id) != TypeUserDefined {
			require.Equal(t, want.Type(id), got.Type(id), "token %d", id)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	yes := true
	for _, c := range []struct {
		name string
		spm  bool
		edit func(v *Vocab)
		want string
	}{
		{"model", true, func(v *Vocab) { v.Model = "bert" }, `unknown tokenizer model "bert"; supported are gpt2, llama`},
		{"no tokens", true, func(v *Vocab) { v.Tokens = nil }, "no tokens"},
		{"scores", true, func(v *Vocab) { v.Scores = v.Scores[1:] }, "292 tokens but 291 scores"},
		{"no scores", true, func(v *Vocab) { v.Scores = nil }, "has no scores"},
		{"nan", true, func(v *Vocab) { v.Scores[5] = float32(math.NaN()) }, "score of token 5 is not a number"},
		{"types", true, func(v *Vocab) { v.Types = v.Types[1:] }, "292 tokens but 291 token types"},
		{"type", true, func(v *Vocab) { v.Types[7] = 9 }, "token 7 has type 9"},
		{"byte", true, func(v *Vocab) { v.Types[260] = TypeByte }, `token 260 "he" has type byte`},
		{"duplicate", true, func(v *Vocab) { v.Tokens[270] = "he" }, `tokens 260 and 270 are both "he"`},
		{"long", true, func(v *Vocab) { v.Tokens[270] = strings.Repeat("x", 1<<17) }, "token 270 is 131072 bytes long"},
		{"bos", true, func(v *Vocab) { v.BOS = 9999 }, "beginning-of-sequence token id 9999 is outside the vocabulary of 292 tokens"},
		{"eot", true, func(v *Vocab) { v.EOT = -2 }, "end-of-turn token id -2"},
		{"add bos", false, func(v *Vocab) { v.AddBOS = &yes }, "asks for a beginning-of-sequence token but names none"},
		{"add eos", false, func(v *Vocab) { v.AddEOS, v.EOS = &yes, -1 }, "asks for an end-of-sequence token but names none"},
		{"pre", false, func(v *Vocab) { v.Pre = "klingon" }, `unknown pre-tokenizer "klingon"; supported are gpt-2, `},
		{"no merges", false, func(v *Vocab) { v.Merges = nil }, "has no merges"},
		{"one part", false, func(v *Vocab) { v.Merges[3] = "in" }, `merge 3 "in" is not two parts`},
		{"empty merge", false, func(v *Vocab) { v.Merges[3] = "" }, `merge 3 "" is not two parts`},
		{"empty part", false, func(v *Vocab) { v.Merges[3] = "i " }, `merge 3 "i " is not`},
		{"alphabet", false, func(v *Vocab) { v.Merges[3] = "i 中" }, "not written in the byte alphabet"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := tinyBPE()
			if c.spm {
				v = tinySPM()
			}
			c.edit(&v)
			_, err := New(v)
			require.ErrorContains(t, err, c.want)
			require.True(t, strings.HasPrefix(err.Error(), "token: "), err)
			require.Less(t, len(err.Error()), 1000)
		})
	}
}

func TestHash(t *testing.T) {
	base := must(tinySPM()).Hash()
	require.Len(t, base, 64)
	require.Equal(t, base, must(tinySPM()).Hash())
	yes, no := true, false
	v := tinySPM()
	v.AddBOS, v.AddEOS, v.AddSpacePrefix = &yes, &no, &yes
	require.Equal(t, base, must(v).Hash(), "spelling out a default changes nothing")
	for name, edit := range map[string]func(v *Vocab){
		"text":   func(v *Vocab) { v.Tokens[300-20] += "y" },
		"score":  func(v *Vocab) { v.Scores[270] = 3 },
		"type":   func(v *Vocab) { v.Types[270] = TypeUnused },
		"id":     func(v *Vocab) { v.PAD = 0 },
		"prefix": func(v *Vocab) { v.AddSpacePrefix = &no },
		"bos":    func(v *Vocab) { v.AddBOS = &no },
	} {
		v := tinySPM()
		edit(&v)
		require.NotEqual(t, base, must(v).Hash(), name)
	}
	b := tinyBPE()
	bpe := must(b).Hash()
	b.Pre = "default"
	require.Equal(t, bpe, must(b).Hash(), "two names of one splitter")
	b.Pre = "qwen2"
	require.NotEqual(t, bpe, must(b).Hash())
	b = tinyBPE()
	b.Merges[0], b.Merges[1] = b.Merges[1], b.Merges[0]
	require.NotEqual(t, bpe, must(b).Hash(), "order of merges")
}

// slowMerge merges like merging.run, by looking at every pair every time.
func slowMerge(word string, p pairer, starts []int, ids []int32) ([]int, []int32) {
	for {
		at, best, into := -1, uint32(noMerge), int32(0)
		for i := 0; i+1 < len(ids); i++ {
			end := len(word)
			if i+2 < len(ids) {
				end = starts[i+2]
			}
			if k, x := p.pair(ids[i], ids[i+1], word[starts[i]:end]); k < best {
				at, best, into = i, k, x
			}
		}
		if at < 0 {
			return starts, ids
		}
		ids[at] = into
		starts, ids = slices.Delete(starts, at+1, at+2), slices.Delete(ids, at+1, at+2)
	}
}

// TestMergeOrder compares with merging done the slow way, on random
// vocabularies with many ties.
func TestMergeOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	letters := "abc"
	text := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = letters[rng.IntN(len(letters))]
		}
		return string(b)
	}
	for range 300 {
		spm := &spmModel{ids: map[string]int32{}, maxLen: 6}
		for range 30 {
			s := text(1 + rng.IntN(6))
			if _, dup := spm.ids[s]; !dup {
				spm.ids[s] = int32(len(spm.keys))
				spm.keys = append(spm.keys, scoreKey(float32(rng.IntN(4)-2)))
			}
		}
		bpe := &bpeModel{merges: map[uint64]uint64{}}
		for rank := range uint64(40) {
			key := rng.Uint64N(12)<<32 | rng.Uint64N(12)
			if _, dup := bpe.merges[key]; !dup {
				bpe.merges[key] = rank<<32 | rng.Uint64N(12)
			}
		}
		for _, p := range []pairer{spm, bpe} {
			word := text(1 + rng.IntN(40))
			var starts []int
			var ids []int32
			var w merging
			for i := range len(word) {
				id := int32(word[i] - 'a')
				starts, ids = append(starts, i), append(ids, id)
				w.add(i, id)
			}
			starts, ids = slowMerge(word, p, starts, ids)
			w.run(word, p)
			var gotStarts []int
			var gotIDs []int32
			for i := int32(0); i >= 0; i = w.syms[i].next {
				gotStarts, gotIDs = append(gotStarts, int(w.syms[i].start)), append(gotIDs, w.syms[i].id)
			}
			require.Equal(t, starts, gotStarts, word)
			require.Equal(t, ids, gotIDs, word)
		}
	}
}

// Merging words one by one must be the same as merging the text as a whole.
func TestWordwise(t *testing.T) {
	tok := must(tinySPM())
	whole := must(tinySPM())
	whole.spm.wordwise = false
	rng := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		b := make([]byte, rng.IntN(40))
		for i := range b {
			b[i] = "  thehelloing x"[rng.IntN(15)]
		}
		require.Equal(t, whole.Encode(string(b), EncodeOptions{}), tok.Encode(string(b), EncodeOptions{}), "%q", b)
	}
	v := tinySPM()
	v.Tokens[270] = "he▁t"
	require.False(t, must(v).spm.wordwise, "a token that spans words")
}

func TestScoreKey(t *testing.T) {
	scores := []float32{float32(math.Inf(1)), 3e38, 2, 1, 1e-40, 0, -1e-40, -1, -2, -3e38, float32(math.Inf(-1))}
	for i := 1; i < len(scores); i++ {
		require.Less(t, scoreKey(scores[i-1]), scoreKey(scores[i]), "%g, %g", scores[i-1], scores[i])
	}
	require.Less(t, scoreKey(scores[len(scores)-1]), uint32(noMerge))
	require.Equal(t, scoreKey(0), scoreKey(float32(math.Copysign(0, -1))))
}

// slowCut cuts out one token after the other, the longest first.
func slowCut(text string, tokens []string) []string {
	slices.SortStableFunc(tokens, func(a, b string) int { return len(b) - len(a) })
	parts := []string{text}
	done := []bool{false}
	for _, tok := range tokens {
		for i := 0; i < len(parts); i++ {
			if done[i] {
				continue
			}
			if at := strings.Index(parts[i], tok); at >= 0 {
				p := parts[i]
				parts = slices.Replace(parts, i, i+1, p[:at], tok, p[at+len(tok):])
				done = slices.Replace(done, i, i+1, false, true, false)
				i++
			}
		}
	}
	return slices.DeleteFunc(parts, func(p string) bool { return p == "" })
}

func TestMatcher(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		// One token per length: which of two as long goes first is a matter of
		// position here and of id there.
		var tokens []string
		var ids []int32
		for n := 1 + rng.IntN(2); n < 6; n += 1 + rng.IntN(2) {
			b := make([]byte, n)
			for i := range b {
				b[i] = "ab"[rng.IntN(2)]
			}
			ids = append(ids, int32(len(tokens)))
			tokens = append(tokens, string(b))
		}
		b := make([]byte, rng.IntN(20))
		for i := range b {
			b[i] = "abc"[rng.IntN(3)]
		}
		m := newMatcher(tokens, ids)
		var got []string
		m.cut(string(b), nil, func(start, end int, id int32) {
			if id >= 0 {
				require.Equal(t, tokens[id], string(b[start:end]))
			}
			got = append(got, string(b[start:end]))
		})
		require.Equal(t, strings.Join(slowCut(string(b), slices.Clone(tokens)), "|"), strings.Join(got, "|"), "%q in %q", tokens, b)
	}
}

// hostile are texts that make careless algorithms slow.
func hostile(n int) map[string]string {
	return map[string]string{
		"letter":   strings.Repeat("a", n),
		"spaces":   strings.Repeat(" ", n),
		"newlines": strings.Repeat("\n", n),
		"digits":   strings.Repeat("7", n),
		"signs":    strings.Repeat("!", n),
		"quotes":   strings.Repeat("'", n),
		"mixed":    strings.Repeat("a b\n", n/4),
		"blank x":  strings.Repeat("   \n  x", n/7),
		"wide":     strings.Repeat("中", n/3),
		"invalid":  strings.Repeat("\xff", n),
		"special":  strings.Repeat("<s>", n/3),
		"almost":   strings.Repeat("<tool", n/5),
	}
}

func TestHostileText(t *testing.T) {
	toks := map[string]*Tokenizer{"tiny spm": must(tinySPM()), "tiny bpe": must(tinyBPE())}
	whole := must(tinySPM())
	whole.spm.wordwise = false
	toks["whole spm"] = whole
	for _, name := range []string{"gpt-2", "deepseek-llm", "llama-spm", "llama-bpe", "qwen2"} {
		if p, ok := find(name+".gguf", os.Getenv("LIMBIC_TEST_VOCABS"), filepath.Join(shared, "vocab")); ok && !testing.Short() {
			toks[name] = load(t, p)
		}
	}
	for name, tok := range toks {
		for kind, text := range hostile(100_000) {
			got := tok.Encode(text, EncodeOptions{BOS: Never})
			require.NoError(t, checkEncoding(tok, text, got), "%s, %s", name, kind)
		}
	}
}

// A counter counts how often it is asked what a pair merges into.
type counter struct {
	pairer
	n int
}

func (c *counter) pair(left, right int32, text string) (uint32, int32) {
	c.n++
	return c.pairer.pair(left, right, text)
}

// Merging a word looks at each pair of neighbours once and at two more for each
// merge, whatever the word holds.
func TestHostileMerges(t *testing.T) {
	const n = 100_000
	spm, bpe := must(tinySPM()), must(tinyBPE())
	for kind, text := range hostile(n) {
		var w merging
		symbols := 0
		for i, r := range text {
			id, ok := spm.spm.ids[string(r)]
			if !ok {
				id = -1
			}
			w.add(i, id)
			symbols++
		}
		c := counter{pairer: spm.spm}
		w.run(text, &c)
		require.LessOrEqual(t, c.n, 3*symbols, "spm, %s", kind)

		w.syms = w.syms[:0]
		for i := range len(text) {
			w.add(i, bpe.bpe.bytes[text[i]])
		}
		c = counter{pairer: bpe.bpe}
		w.run(text, &c)
		require.LessOrEqual(t, c.n, 3*len(text), "bpe, %s", kind)
	}
}

// Many overlapping tokens to cut out of a text that is nothing but them: every
// position is asked for its longest token once, and once more for each shorter
// token that it has to make do with.
func TestHostileSpecials(t *testing.T) {
	v := tinySPM()
	for n := 2; n < 40; n++ {
		v.Tokens = append(v.Tokens, strings.Repeat(" ", n))
		v.Scores = append(v.Scores, 0)
		v.Types = append(v.Types, TypeUserDefined)
	}
	tok := must(v)
	text := strings.Repeat(" ", 1_000_000)
	got := tok.Encode(text, EncodeOptions{BOS: Never})
	require.Len(t, got, 1_000_000/39+1)
	require.NoError(t, checkEncoding(tok, text, got))

	rng := rand.New(rand.NewPCG(1, 2))
	var mixed strings.Builder
	for mixed.Len() < 1_000_000 {
		mixed.WriteString(strings.Repeat(" ", rng.IntN(120)) + "<tool>"[:rng.IntN(7)])
	}
	for _, text := range []string{text, mixed.String()} {
		found, covered := 0, 0
		tok.user.cut(text, func(int, int, int32) bool { found++; return true }, func(start, end int, _ int32) { covered += end - start })
		require.Equal(t, len(text), covered)
		require.LessOrEqual(t, found, len(text)+len(text)/10)
	}
}

// A token that takes the white space after it, in white space that is full of
// such tokens. Were each to look at all of the rest, this would take hours.
func TestHostileStrip(t *testing.T) {
	v := tinySPM()
	v.Tokens, v.Scores, v.Types = append(v.Tokens, "  "), append(v.Scores, 0), append(v.Types, TypeUserDefined)
	id := int32(len(v.Tokens) - 1)
	v.RStrip = []int32{id}
	text := strings.Repeat(" ", 4_000_000)
	require.Equal(t, []Token{{id, 0, len(text)}}, must(v).Encode(text, EncodeOptions{BOS: Never}))
}

func TestConcurrent(t *testing.T) {
	tok := must(tinySPM())
	text := strings.Repeat("hello the thing <tool> é € ", 50)
	want := tok.Encode(text, EncodeOptions{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if got := tok.Encode(text, EncodeOptions{}); !slices.Equal(want, got) {
					t.Error("another result beside other goroutines")
				}
			}
		})
	}
	wg.Wait()
}

// TestReferenceModel compares with tokens that another engine computed.
func TestReferenceModel(t *testing.T) {
	path := filepath.Join(shared, "models", "stories260K-f32.gguf")
	refs, err := filepath.Glob(filepath.Join(shared, "reference", "stories260K-*.json"))
	require.NoError(t, err)
	if _, err := os.Stat(path); err != nil || len(refs) == 0 {
		t.Skip("no shared test material")
	}
	tok := load(t, path)
	for _, ref := range refs {
		data, err := os.ReadFile(ref)
		require.NoError(t, err)
		var want struct {
			Prompt string
			Tokens []int32
		}
		require.NoError(t, json.Unmarshal(data, &want))
		got := tok.Encode(want.Prompt, EncodeOptions{})
		require.Equal(t, want.Tokens, IDs(got), ref)
		require.NoError(t, checkEncoding(tok, want.Prompt, got))
	}
}

// file makes a model file that holds a vocabulary, as edited.
func file(t *testing.T, v Vocab, edit func(kv map[string]gguf.Value)) *gguf.File {
	t.Helper()
	kv := map[string]gguf.Value{
		"model":      gguf.Scalar(v.Model),
		"pre":        gguf.Scalar(v.Pre),
		"tokens":     gguf.Array(v.Tokens),
		"token_type": gguf.Array(v.Types),
	}
	if v.Model == "llama" {
		kv["scores"] = gguf.Array(v.Scores)
	} else {
		kv["merges"] = gguf.Array(v.Merges)
	}
	edit(kv)
	var kvs []gguf.KV
	for _, k := range slices.Sorted(maps.Keys(kv)) {
		key := "tokenizer.ggml." + k
		if own, ok := strings.CutPrefix(k, "/"); ok {
			key = own // as it is
		}
		kvs = append(kvs, gguf.KV{Key: key, Value: kv[k]})
	}
	var buf bytes.Buffer
	require.NoError(t, gguf.Encode(&buf, kvs, nil, gguf.EncodeOptions{}))
	f, err := gguf.Parse(buf.Bytes(), "tiny.gguf")
	require.NoError(t, err)
	return f
}

func TestFromGGUF(t *testing.T) {
	spm := must(tinySPM())

	// The first three ids have their roles by custom; written out, or as minus
	// one where a role is not filled, the tokenizer is the same.
	tok, err := FromGGUF(file(t, tinySPM(), func(map[string]gguf.Value) {}))
	require.NoError(t, err)
	require.Equal(t, spm.Hash(), tok.Hash())
	tok, err = FromGGUF(file(t, tinySPM(), func(kv map[string]gguf.Value) {
		kv["bos_token_id"] = gguf.Scalar(uint32(1))
		kv["eos_token_id"] = gguf.Scalar(int32(2))
		kv["unknown_token_id"] = gguf.Scalar(uint64(0))
		kv["padding_token_id"] = gguf.Scalar(uint32(math.MaxUint32))
		kv["eot_token_id"] = gguf.Scalar(int32(-1))
		kv["add_bos_token"] = gguf.Scalar(true)
		kv["add_space_prefix"] = gguf.Scalar(true)
	}))
	require.NoError(t, err)
	require.Equal(t, spm.Hash(), tok.Hash())

	tok, err = FromGGUF(file(t, tinySPM(), func(kv map[string]gguf.Value) {
		kv["add_bos_token"] = gguf.Scalar(false)
		kv["add_eos_token"] = gguf.Scalar(true)
		kv["add_space_prefix"] = gguf.Scalar(false)
	}))
	require.NoError(t, err)
	require.Equal(t, "he[0:2] </s>[2:2]", show(tok, tok.Encode("he", EncodeOptions{})))

	tok, err = FromGGUF(file(t, tinySPM(), func(kv map[string]gguf.Value) { delete(kv, "token_type") }))
	require.NoError(t, err)
	require.True(t, tok.AddsBOS())
	require.True(t, tok.IsEOG(2))
	require.Equal(t, TypeUnknown, tok.Type(0))

	tok, err = FromGGUF(file(t, tinyBPE(), func(kv map[string]gguf.Value) {
		kv["eos_token_id"] = gguf.Scalar(uint32(tinyBPE().EOS))
	}))
	require.NoError(t, err)
	require.Equal(t, must(tinyBPE()).Hash(), tok.Hash())

	for name, c := range map[string]struct {
		v    Vocab
		edit func(kv map[string]gguf.Value)
		want []string
	}{
		"no tokens":   {tinySPM(), func(kv map[string]gguf.Value) { delete(kv, "tokens") }, []string{"tiny.gguf", "tokenizer.ggml.tokens"}},
		"no model":    {tinySPM(), func(kv map[string]gguf.Value) { delete(kv, "model") }, []string{"tiny.gguf", "tokenizer.ggml.model"}},
		"no scores":   {tinySPM(), func(kv map[string]gguf.Value) { delete(kv, "scores") }, []string{"token: tiny.gguf: vocabulary of model llama has no scores"}},
		"no merges":   {tinyBPE(), func(kv map[string]gguf.Value) { delete(kv, "merges") }, []string{"has no merges"}},
		"wrong type":  {tinySPM(), func(kv map[string]gguf.Value) { kv["scores"] = gguf.Scalar("x") }, []string{"tiny.gguf", "tokenizer.ggml.scores"}},
		"wrong flag":  {tinySPM(), func(kv map[string]gguf.Value) { kv["add_bos_token"] = gguf.Scalar("x") }, []string{"tokenizer.ggml.add_bos_token"}},
		"wrong id":    {tinySPM(), func(kv map[string]gguf.Value) { kv["bos_token_id"] = gguf.Scalar(int64(1 << 40)) }, []string{"beginning-of-sequence token id 2147483647"}},
		"wrong model": {tinySPM(), func(kv map[string]gguf.Value) { kv["model"] = gguf.Scalar("bert") }, []string{`unknown tokenizer model "bert"`}},
	} {
		_, err := FromGGUF(file(t, c.v, c.edit))
		require.Error(t, err, name)
		for _, want := range c.want {
			require.ErrorContains(t, err, want, name)
		}
	}
}

// What a user wrote is text, also where a template's own tokens are found around
// it, and also where a token would begin in one and end in the other.
func TestEncodeLiteral(t *testing.T) {
	tok, err := New(tinySPM())
	require.NoError(t, err)
	for _, c := range []struct {
		text    string
		literal [][2]int
		want    string // specials by name, other tokens together by a dot
	}{
		{"<s>a</s>", nil, "<s>.</s>"},
		{"<s>a</s>", [][2]int{{3, 4}}, "<s>.</s>"},
		{"<s><s></s>", [][2]int{{3, 6}}, "<s>.</s>"},
		{"<s><s></s>", [][2]int{{0, 3}, {6, 10}}, ".<s>."},
		{"<s>", [][2]int{{2, 3}}, "."},
		{"<s>", [][2]int{{0, 1}}, "."},
		{"<s><tool>", [][2]int{{3, 9}}, "<s><tool>"},
	} {
		var b strings.Builder
		for _, x := range tok.Encode(c.text, EncodeOptions{BOS: Never, Special: true, Literal: c.literal}) {
			if tok.IsControl(x.ID) || tok.Type(x.ID) == TypeUserDefined {
				b.WriteString(tok.Text(x.ID))
			} else if !strings.HasSuffix(b.String(), ".") {
				b.WriteByte('.')
			}
		}
		require.Equal(t, c.want, b.String(), "%s %v", c.text, c.literal)
	}
}
