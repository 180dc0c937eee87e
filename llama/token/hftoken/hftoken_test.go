package hftoken

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/llama/gguf"
	"github.com/limbic-go/limbic/llama/token"
)

type goldenCase struct {
	Text string
	IDs  []int32
}

type golden struct {
	Name      string
	Tokenizer json.RawMessage
	Cases     []goldenCase
}

func loadGolden(tb testing.TB) []golden {
	tb.Helper()
	data, err := os.ReadFile("testdata/golden.json.gz")
	require.NoError(tb, err)
	z, err := gzip.NewReader(bytes.NewReader(data))
	require.NoError(tb, err)
	var all []golden
	require.NoError(tb, json.NewDecoder(z).Decode(&all))
	require.NotEmpty(tb, all)
	return all
}

// throughGGUF writes the metadata into a GGUF file and reads the tokenizer.
func throughGGUF(tb testing.TB, f Files) *token.Tokenizer {
	tb.Helper()
	kvs, err := f.Metadata()
	require.NoError(tb, err)
	var buf bytes.Buffer
	require.NoError(tb, gguf.Encode(&buf, kvs, nil, gguf.EncodeOptions{}))
	file, err := gguf.Parse(buf.Bytes(), "made.gguf")
	require.NoError(tb, err)
	tok, err := token.FromGGUF(file)
	require.NoError(tb, err)
	return tok
}

func tokenizer(tb testing.TB, f Files) *token.Tokenizer {
	tb.Helper()
	v, err := f.Vocab()
	require.NoError(tb, err)
	tok, err := token.New(v)
	require.NoError(tb, err)
	return tok
}

// requireCovered checks that the spans of tokens cover the text in order.
func requireCovered(tb testing.TB, text string, tokens []token.Token) {
	tb.Helper()
	at := 0
	for _, x := range tokens {
		require.Equal(tb, at, x.Start, "%q", text)
		require.GreaterOrEqual(tb, x.End, x.Start, "%q", text)
		at = x.End
	}
	require.Equal(tb, len(text), at, "%q", text)
}

func compare(t *testing.T, tok *token.Tokenizer, cases []goldenCase) {
	bad := 0
	for _, c := range cases {
		got := tok.Encode(c.Text, token.EncodeOptions{Special: true})
		if want := append([]int32{}, c.IDs...); !equal(want, token.IDs(got)) {
			if bad++; bad <= 5 {
				t.Errorf("%q\nwant %v\ngot  %v", c.Text, want, token.IDs(got))
			}
		}
		requireCovered(t, c.Text, got)
	}
	if bad > 0 {
		t.Errorf("%d of %d texts", bad, len(cases))
	}
}

func equal(a, b []int32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// TestGolden compares small tokenizers of our own with what another program
// makes of them.
func TestGolden(t *testing.T) {
	for _, g := range loadGolden(t) {
		t.Run(g.Name, func(t *testing.T) {
			f := Files{Tokenizer: g.Tokenizer}
			tok := tokenizer(t, f)
			compare(t, tok, g.Cases)
			require.Equal(t, tok.Hash(), throughGGUF(t, f).Hash())
			if !strings.HasPrefix(g.Name, "spm") && g.Name != "edges" {
				require.Equal(t, g.Name, tok.Pre())
			}
		})
	}
}

// TestPublished is TestGolden with published tokenizers: see testdata/README.md.
func TestPublished(t *testing.T) {
	dir := os.Getenv("LIMBIC_TEST_TOKENIZERS")
	paths, err := filepath.Glob(filepath.Join(dir, "*", "cases.json"))
	require.NoError(t, err)
	if dir == "" || len(paths) == 0 {
		t.Skip("LIMBIC_TEST_TOKENIZERS names no folder with published tokenizers")
	}
	for _, path := range paths {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			f, err := Read(filepath.Dir(path))
			require.NoError(t, err)
			// The cases are what tokenizer.json alone gives.
			alone := f
			alone.Config, alone.SpecialTokens, alone.Generation = nil, nil, nil
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			var cases []goldenCase
			require.NoError(t, json.Unmarshal(data, &cases))
			compare(t, tokenizer(t, alone), cases)
			tok := tokenizer(t, f)
			require.Equal(t, tok.Hash(), throughGGUF(t, f).Hash())
			bos, _ := tok.BOS()
			eos, _ := tok.EOS()
			t.Logf("model %s, splitter %q, %d tokens, BOS %q (added: %v), EOS %q (added: %v)", tok.Model(), tok.Pre(), tok.Size(),
				tok.Text(bos), tok.AddsBOS(), tok.Text(eos), tok.AddsEOS())
		})
	}
}

// small is a byte-level tokenizer.json with the given parts, and small enough to
// follow.
func small(edit map[string]string) []byte {
	parts := map[string]string{
		"normalizer":     "null",
		"pre_tokenizer":  `{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}`,
		"post_processor": "null",
		"added_tokens":   `[{"id":4,"content":"<s>","special":true},{"id":5,"content":"</s>","special":true},{"id":7,"content":"<x>"}]`,
		"model":          `{"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"Ġ":3},"merges":["a b"]}`,
	}
	for k, v := range edit {
		parts[k] = v
	}
	var b strings.Builder
	for k, v := range parts {
		b.WriteString(`,"` + k + `":` + v)
	}
	return []byte("{" + b.String()[1:] + "}")
}

const addsBoth = `{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}},{"Sequence":{"id":"A"}},{"SpecialToken":{"id":"</s>"}}]}`

// BOS and EOS: who names them, and who says whether they are added.
func TestRoles(t *testing.T) {
	for name, c := range map[string]struct {
		post  string
		files Files
		want  string // of "ab", special tokens by name
		eog   string
	}{
		"nothing said":           {"null", Files{}, "ab", ""},
		"named, not added":       {"null", Files{Config: []byte(`{"bos_token":"<s>","eos_token":{"content":"</s>"}}`)}, "ab", "</s>"},
		"by the template":        {addsBoth, Files{}, "<s>ab</s>", "</s>"},
		"in a sequence":          {`{"type":"Sequence","processors":[{"type":"ByteLevel"},` + addsBoth + `]}`, Files{}, "<s>ab</s>", "</s>"},
		"the config decides":     {addsBoth, Files{Config: []byte(`{"add_bos_token":false,"add_eos_token":false}`)}, "ab", "</s>"},
		"the config adds":        {"null", Files{Config: []byte(`{"bos_token":"<s>","add_bos_token":true}`)}, "<s>ab", ""},
		"the class":              {"null", Files{Config: []byte(`{"bos_token":"<s>","tokenizer_class":"LlamaTokenizerFast"}`)}, "<s>ab", ""},
		"the map of specials":    {"null", Files{SpecialTokens: []byte(`{"eos_token":"</s>"}`)}, "ab", "</s>"},
		"the generation":         {"null", Files{Generation: []byte(`{"eos_token_id":[5,4,7]}`)}, "ab", "<s></s><x>"},
		"one id of a generation": {"null", Files{Generation: []byte(`{"eos_token_id":7}`)}, "ab", "</s><x>"},
	} {
		t.Run(name, func(t *testing.T) {
			f := c.files
			f.Tokenizer = small(map[string]string{"post_processor": c.post})
			for _, tok := range []*token.Tokenizer{tokenizer(t, f), throughGGUF(t, f)} {
				require.Equal(t, c.want, string(tok.DecodeSpecial(token.IDs(tok.Encode("ab", token.EncodeOptions{})))))
				eog := ""
				for id := range int32(tok.Size()) {
					if tok.IsEOG(id) && (c.eog != "" || id != 5) { // </s> is known by its text as well
						eog += tok.Text(id)
					}
				}
				require.Equal(t, c.eog, eog)
				// Once only, also where the text begins and ends with them.
				if tok.AddsBOS() && tok.AddsEOS() {
					got := tok.Encode("<s>ab</s>", token.EncodeOptions{Special: true})
					require.Equal(t, "<s>ab</s>", string(tok.DecodeSpecial(token.IDs(got))))
					requireCovered(t, "<s>ab</s>", got)
				}
			}
		})
	}
}

func TestTypes(t *testing.T) {
	v, err := Files{Tokenizer: small(nil)}.Vocab()
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b", "ab", "Ġ", "<s>", "</s>", "[PAD6]", "<x>"}, v.Tokens)
	n, c, p, u := token.TypeNormal, token.TypeControl, token.TypeUnused, token.TypeUserDefined
	require.Equal(t, []int32{n, n, n, n, c, c, p, u}, v.Types)
}

// A token that is added many times over is stripped once.
func TestStripped(t *testing.T) {
	one := `{"id":4,"content":"<s>","lstrip":true},{"id":7,"content":"<x>","lstrip":true,"rstrip":true},`
	v, err := Files{Tokenizer: small(map[string]string{"added_tokens": "[" + strings.Repeat(one, 3) + `{"id":5,"content":"</s>","lstrip":true}]`})}.Vocab()
	require.NoError(t, err)
	require.Equal(t, []int32{4, 5, 7}, v.LStrip)
	require.Equal(t, []int32{7}, v.RStrip)
}

func TestTemplates(t *testing.T) {
	for name, c := range map[string]struct {
		f    Files
		want []Template
	}{
		"none":   {Files{}, nil},
		"null":   {Files{Config: []byte(`{"chat_template":null}`)}, nil},
		"string": {Files{Config: []byte(`{"chat_template":"{{ x }}"}`)}, []Template{{"", "{{ x }}"}}},
		"list": {Files{Config: []byte(`{"chat_template":[{"name":"default","template":"a"},{"name":"tool_use","template":"b"}]}`)},
			[]Template{{"", "a"}, {"tool_use", "b"}}},
		"file": {Files{Config: []byte(`{"chat_template":"old"}`), ChatTemplate: []byte("new")}, []Template{{"", "new"}}},
	} {
		got, err := c.f.Templates()
		require.NoError(t, err, name)
		require.Equal(t, c.want, got, name)
	}
	f := Files{Tokenizer: small(nil), Config: []byte(`{"chat_template":[{"name":"default","template":"a"},{"name":"tool_use","template":"b"}]}`)}
	kvs, err := f.Metadata()
	require.NoError(t, err)
	var keys []string
	for _, kv := range kvs {
		keys = append(keys, kv.Key)
	}
	require.Subset(t, keys, []string{"tokenizer.chat_template", "tokenizer.chat_template.tool_use", "tokenizer.chat_templates"})
}

func TestRefuses(t *testing.T) {
	spm := func(model string, edit map[string]string) []byte {
		if model == "" {
			model = `{"type":"BPE","unk_token":"<unk>","byte_fallback":true,"vocab":{"<unk>":0,"▁":1,"a":2,"▁a":3,"aa":6},"merges":["▁ a","a a"]}`
		}
		parts := map[string]string{
			"model":         model,
			"added_tokens":  "[]",
			"normalizer":    `{"type":"Replace","pattern":{"String":" "},"content":"▁"}`,
			"pre_tokenizer": "null",
		}
		for k, v := range edit {
			parts[k] = v
		}
		return small(parts)
	}
	require.NotNil(t, tokenizer(t, Files{Tokenizer: spm("", nil)}))
	byteLevel := `{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}`
	for name, c := range map[string]struct {
		f    Files
		want string
	}{
		"no file":     {Files{}, "tokenizer.json: tokenizer model \"\" is not supported"},
		"no json":     {Files{Tokenizer: []byte("{")}, "tokenizer.json: unexpected end"},
		"unigram":     {Files{Tokenizer: []byte(`{"model":{"type":"Unigram","vocab":[["a",0]]}}`)}, `model "Unigram" is not supported; BPE is`},
		"no tokens":   {Files{Tokenizer: []byte(`{"model":{"type":"BPE"}}`)}, "there are no tokens"},
		"regex":       {Files{Tokenizer: small(map[string]string{"pre_tokenizer": `{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"\\d{7}"},"behavior":"Isolated"},` + byteLevel + `]}`})}, `["\\d{7}"]; known are gpt-2`},
		"behavior":    {Files{Tokenizer: small(map[string]string{"pre_tokenizer": `{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"x"},"behavior":"Removed"},` + byteLevel + `]}`})}, `behavior "Removed" (invert false)`},
		"prefix":      {Files{Tokenizer: small(map[string]string{"pre_tokenizer": `{"type":"ByteLevel"}`})}, "add_prefix_space"},
		"normalizer":  {Files{Tokenizer: small(map[string]string{"normalizer": `{"type":"Lowercase"}`})}, `normalizer "Lowercase"`},
		"no spaces":   {Files{Tokenizer: small(map[string]string{"pre_tokenizer": "null"})}, "neither byte-level BPE nor"},
		"post":        {Files{Tokenizer: small(map[string]string{"post_processor": `{"type":"BertProcessing"}`})}, `post-processor "BertProcessing"`},
		"merge":       {Files{Tokenizer: small(map[string]string{"model": `{"type":"BPE","vocab":{"a":0},"merges":[["a"]]}`})}, "a merge of 1 parts"},
		"one part":    {Files{Tokenizer: small(map[string]string{"model": `{"type":"BPE","vocab":{"a":0},"merges":["a"]}`})}, `merge "a" has one part`},
		"huge id":     {Files{Tokenizer: small(map[string]string{"added_tokens": `[{"id":2000000000,"content":"x"}]`})}, `token "x" has id 2000000000 among 5 tokens`},
		"two texts":   {Files{Tokenizer: small(map[string]string{"added_tokens": `[{"id":0,"content":"x"}]`})}, `id 0 is that of "a" and of "x"`},
		"bos":         {Files{Tokenizer: small(nil), Config: []byte(`{"bos_token":"<bos>"}`)}, `no token "<bos>", which is the bos_token`},
		"add bos":     {Files{Tokenizer: small(nil), Config: []byte(`{"add_bos_token":true}`)}, "tokenizer_config.json: add_bos_token is true"},
		"generation":  {Files{Tokenizer: small(nil), Generation: []byte(`{"eos_token_id":99}`)}, "generation_config.json: there is no token 99"},
		"spm merge":   {Files{Tokenizer: spm(`{"type":"BPE","vocab":{"▁":0,"a":1},"merges":["▁ a"]}`, nil)}, `there is no token "▁a"`},
		"spm pair":    {Files{Tokenizer: spm(`{"type":"BPE","vocab":{"▁":0,"a":1,"▁a":2,"aa":3,"▁aa":4},"merges":["▁ a","a a","▁a a"]}`, nil)}, `"▁" and "aa" don't merge into token "▁aa"`},
		"metaspace":   {Files{Tokenizer: spm("", map[string]string{"normalizer": "null", "pre_tokenizer": `{"type":"Metaspace","replacement":"▁","prepend_scheme":"last"}`})}, `prepend_scheme "last"`},
		"spm strip":   {Files{Tokenizer: spm("", map[string]string{"normalizer": `{"type":"Strip"}`})}, `normalizer "Strip"`},
		"deep":        {Files{Tokenizer: small(map[string]string{"normalizer": strings.Repeat(`{"type":"Sequence","normalizers":[`, 20) + strings.Repeat("]}", 20)})}, "nested too deeply"},
		"very deep":   {Files{Tokenizer: []byte(strings.Repeat("[", 1<<20))}, "exceeded max depth"},
		"many parts":  {Files{Tokenizer: small(map[string]string{"normalizer": `{"type":"Sequence","normalizers":[` + strings.Repeat("{},", 1<<20) + `{}]}`})}, "of more than 1048576 bytes"},
		"many stages": {Files{Tokenizer: small(map[string]string{"pre_tokenizer": `{"type":"Sequence","pretokenizers":[` + strings.Repeat(`{"type":"Digits"},`, 100) + byteLevel + `]}`})}, "100 regular expressions"},
		"long tokens": {Files{Tokenizer: spm(`{"type":"BPE","vocab":{"▁":0,"`+strings.Repeat("a", 40_000)+`":1},"merges":[]}`, nil)}, "token 1 is 40000 bytes long"},
		"many ends":   {Files{Tokenizer: small(nil), Generation: []byte(`{"eos_token_id":[` + strings.Repeat("5,", 5000) + `5]}`)}, "eos_token_id lists 5001 tokens"},
		"whole words": {Files{Tokenizer: spm(`{"type":"BPE","ignore_merges":true,"vocab":{"▁":0},"merges":[]}`, nil)}, "ignore_merges is not supported"},
	} {
		_, err := c.f.Vocab()
		require.ErrorContains(t, err, c.want, name)
		require.True(t, strings.HasPrefix(err.Error(), "hftoken: "), err)
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	_, err := Read(dir)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tokenizer.json"), small(nil), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "generation_config.json"), []byte(`{"eos_token_id":5}`), 0o600))
	f, err := Read(dir)
	require.NoError(t, err)
	eos, ok := tokenizer(t, f).EOS()
	require.True(t, ok)
	require.Equal(t, int32(5), eos)
}

// FuzzVocab gives Vocab files of any content. It must refuse them or make a
// vocabulary that a tokenizer can be made of, or is refused, and that comes
// through a GGUF file as it is.
func FuzzVocab(f *testing.F) {
	f.Add(small(nil), []byte(`{"bos_token":"<s>"}`), []byte(`{"eos_token_id":[5,4]}`), "ab <s> e\u0301")
	for _, g := range loadGolden(f) {
		f.Add([]byte(g.Tokenizer), []byte("{}"), []byte(""), "the <tool> thing")
	}
	f.Fuzz(func(t *testing.T, tokenizer, config, generation []byte, text string) {
		files := Files{Tokenizer: tokenizer, Config: config, Generation: generation}
		v, err := files.Vocab()
		if err != nil {
			require.True(t, strings.HasPrefix(err.Error(), "hftoken: "), err)
			return
		}
		tok, err := token.New(v)
		if err != nil {
			return
		}
		at := 0
		for _, x := range tok.Encode(text, token.EncodeOptions{Special: true}) {
			require.GreaterOrEqual(t, x.Start, at)
			require.GreaterOrEqual(t, x.End, x.Start)
			require.LessOrEqual(t, x.End, len(text))
			at = x.End
		}
		files.Templates() // must not panic
		var buf bytes.Buffer
		if gguf.Encode(&buf, v.Metadata(), nil, gguf.EncodeOptions{}) != nil {
			return
		}
		file, err := gguf.Parse(buf.Bytes(), "made.gguf")
		require.NoError(t, err)
		again, err := token.FromGGUF(file)
		require.NoError(t, err)
		require.Equal(t, tok.Hash(), again.Hash())
	})
}
