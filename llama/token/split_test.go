package token

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func words(t testing.TB, name, text string) []string {
	s, ok := splitterByName(name)
	require.True(t, ok, "splitter %q", name)
	got := []string{}
	at := 0
	s.split(text, func(start, end int) {
		require.Equal(t, at, start, "gap before a word of %q", text)
		require.Greater(t, end, start, "empty word in %q", text)
		got = append(got, text[start:end])
		at = end
	})
	require.Equal(t, len(text), at, "words of %q end early", text)
	return got
}

// TestSplitters compares with the published regular expressions, run by a
// regular expression engine that has what they need: see testdata/README.md.
func TestSplitters(t *testing.T) {
	path := "testdata/splits.json"
	if p := os.Getenv("LIMBIC_TEST_SPLITS"); p != "" {
		path = p
	}
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var cases []struct {
		Text  string
		Words map[string][]int // lengths in bytes
	}
	require.NoError(t, json.Unmarshal(data, &cases))
	require.NotEmpty(t, cases)
	for _, c := range cases {
		require.Len(t, c.Words, len(splitters)-1) // dbrx splits as llama-bpe does
		for name, lengths := range c.Words {
			want, rest := []string{}, c.Text
			for _, n := range lengths {
				want = append(want, rest[:n])
				rest = rest[n:]
			}
			require.Empty(t, rest)
			require.Equal(t, want, words(t, name, c.Text), "%s splits %q", name, c.Text)
		}
	}
}

// TestSplitterRules shows where the splitters differ.
func TestSplitterRules(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		// A space leads the word after it; of several, only the last.
		{"gpt-2", "a  b", "a| | b"},
		{"gpt-2", "a\tb", "a|\t|b"},
		{"llama-bpe", "a\tb", "a|\tb"},
		// Contractions: lower case only, or either.
		{"gpt-2", "I'm I'M", "I|'m| I|'|M"},
		{"qwen2", "I'm I'M", "I|'m| I|'M"},
		// Numbers: whole, by three, one by one.
		{"gpt-2", " 12345", " 12345"},
		{"llama-bpe", " 12345", " |123|45"},
		{"qwen2", " 123", " |1|2|3"},
		{"smollm", " 123", " |1|2|3"},
		{"deepseek-llm", " 12", " |1|2"},
		// Line breaks go with the signs before them, or stand alone.
		{"llama-bpe", "a;\n\n b", "a|;\n\n| b"},
		{"gpt-2", "a;\n\n b", "a|;|\n\n| b"},
		{"deepseek-llm", "a;\n\n b", "a|;|\n|\n| b"},
		// An invalid byte is a sign.
		{"gpt-2", "a\xff\xfe b", "a|\xff\xfe| b"},
		{"llama-bpe", " \xe4\xb8 \xff", " \xe4\xb8| \xff"},
		{"smollm", "\xc3(1\x80", "\xc3(|1|\x80"},
		{"deepseek-llm", "a\xffb", "a|\xff|b"},
		{"deepseek-v3", "a\xff\xfe b", "a|\xff\xfe| b"},
		{"gpt-4o", "a\xff\xfe b", "a|\xff\xfe| b"},
		// Capitals begin words, contractions end them.
		{"gpt-4o", "camelCase HTMLParser's", "camel|Case| HTMLParser's"},
		{"tekken", "camelCase HTMLParser's", "camel|Case| HTMLParser|'s"},
		{"tekken", "ABC 12", "ABC| |1|2"},
		{"gpt-4o", "語ABC", "語|ABC"}, // what has no case is big and small, but a small one must follow
		{"gpt-4o", "a;//\n/\n b", "a|;//\n/\n| b"},
		// A mark is a sign, or a letter.
		{"qwen2", "e\u0301a", "e|\u0301a"},
		{"qwen35", "e\u0301a", "e\u0301a"},
		{"gpt-4o", "e\u0301a", "e\u0301a"},
		// A sign and the ASCII letters after it; control characters are nothing.
		{"deepseek-v3", ".net €uro", ".net| €|uro"},
		{"deepseek-v3", "a\x00\x00b 12345", "a|\x00|\x00b| |123|45"},
		{"deepseek-v3", "日本のテキスト、English", "日本のテキスト|、|English"},
		{"deepseek-coder", "a, b\n\n12", "a|,| b|\n|\n|1|2"},
		{"minicpm5", "a  1234", "a|  |123|4"},
		{"llama-bpe", "a  1234", "a| | |123|4"},
		{"seed-coder", "a;\n\n b", "a|;|\n\n| b"},
		{"falcon", "a 12345, b", "a| |123|45|,| b"},
		{"falcon", "²", "\xc2|\xb2"},
	} {
		require.Equal(t, strings.Split(c.want, "|"), words(t, c.name, c.text), "%s splits %q", c.name, c.text)
	}
}

// The table must not give one name to two splitters, and aliases must lead to
// what they are listed under.
func TestSplitterNames(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range splitters {
		for _, name := range append([]string{s.name}, s.alias...) {
			require.False(t, seen[name], "name %q twice", name)
			seen[name] = true
			got, ok := splitterByName(name)
			require.True(t, ok)
			require.Equal(t, s.name, got.name)
		}
	}
	require.NotContains(t, Splitters(), "")
	require.Len(t, Splitters(), len(seen)-1)
	_, ok := splitterByName("no-such")
	require.False(t, ok)
}

func FuzzSplitters(f *testing.F) {
	f.Add("I'm  here\n\n 123 ½ 中文。\xff")
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range splitters {
			for _, w := range words(t, s.name, text) {
				if s.name == "falcon" {
					continue // its expressions look at bytes
				}
				// A word never cuts a valid character.
				require.True(t, !utf8.ValidString(text) || utf8.ValidString(w), "%s cut %q", s.name, w)
			}
		}
	})
}
