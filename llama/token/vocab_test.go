package token

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/llama/gguf"
)

// shared is the shared test material. Tests that need it skip where it is
// absent.
const shared = "../../../shared"

// find gives the path of the first of the folders that has the file.
func find(name string, dirs ...string) (string, bool) {
	for _, d := range dirs {
		if d == "" {
			continue
		}
		p := filepath.Join(d, name)
		if _, err := os.Stat(p); err == nil {
			return p, true
		}
	}
	return "", false
}

func load(tb testing.TB, path string) *Tokenizer {
	tb.Helper()
	f, err := gguf.Open(path)
	require.NoError(tb, err)
	defer f.Close()
	tok, err := FromGGUF(f)
	require.NoError(tb, err)
	return tok
}

// loadVocab loads a published vocabulary, or skips.
func loadVocab(tb testing.TB, name string) *Tokenizer {
	tb.Helper()
	path, ok := find(name+".gguf", os.Getenv("LIMBIC_TEST_VOCABS"), filepath.Join(shared, "vocab"))
	if !ok {
		tb.Skipf("no vocabulary %s.gguf: see testdata/README.md", name)
	}
	return load(tb, path)
}

// TestVocabularies encodes the texts that llama.cpp publishes for published
// vocabularies and compares ids.
func TestVocabularies(t *testing.T) {
	dirs := []string{os.Getenv("LIMBIC_TEST_VOCABS"), filepath.Join(shared, "vocab")}
	for _, name := range []string{"gpt-2", "deepseek-llm", "llama-spm", "llama-bpe", "qwen2"} {
		t.Run(name, func(t *testing.T) {
			tok := loadVocab(t, name)
			inp, ok1 := find(name+".gguf.inp", dirs...)
			out, ok2 := find(name+".gguf.out", dirs...)
			if !ok1 || !ok2 {
				t.Skipf("no cases for %s: see testdata/README.md", name)
			}
			in, err := os.ReadFile(inp)
			require.NoError(t, err)
			want, err := os.ReadFile(out)
			require.NoError(t, err)
			const sep = "\n__ggml_vocab_test__\n" // ends each text
			texts := strings.Split(strings.TrimSuffix(string(in), sep), sep)
			lines := strings.Split(strings.TrimSuffix(string(want), "\n"), "\n")
			require.Equal(t, len(texts), len(lines), "cases in %s and %s", inp, out)
			require.Greater(t, len(texts), 40)
			for i, text := range texts {
				ids := []int32{}
				for _, f := range strings.Fields(lines[i]) {
					id, err := strconv.ParseInt(f, 10, 32)
					require.NoError(t, err)
					ids = append(ids, int32(id))
				}
				got := tok.Encode(text, EncodeOptions{BOS: Never})
				require.Equal(t, ids, IDs(got), "case %d: %q", i, text)
				require.NoError(t, checkEncoding(tok, text, got))
			}
		})
	}
}

// checkEncoding checks what must hold for the tokens of any text, encoded
// without special tokens.
func checkEncoding(tok *Tokenizer, text string, got []Token) error {
	at := 0
	for i, x := range got {
		if x.Start < at || x.End < x.Start || x.End > len(text) {
			return fmt.Errorf("token %d has span [%d,%d) after %d in a text of %d bytes", i, x.Start, x.End, at, len(text))
		}
		if x.Start > at && tok.Lossless() {
			return fmt.Errorf("token %d begins at %d, a gap after %d", i, x.Start, at)
		}
		at = x.End
	}
	if !tok.Lossless() {
		return nil
	}
	if at != len(text) {
		return fmt.Errorf("tokens end at %d, the text at %d", at, len(text))
	}
	if back := tok.Decode(IDs(got)); string(back) != text {
		return fmt.Errorf("decoded %q from %q", back, text)
	}
	// Each token alone stands for its span, but for a prefix space.
	for i, x := range got {
		span, p := text[x.Start:x.End], string(tok.Piece(x.ID))
		if p != span && !(tok.AddsSpacePrefix() && p == " "+span) {
			return fmt.Errorf("token %d is %q but spans %q", i, p, span)
		}
	}
	return nil
}
