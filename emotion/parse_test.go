package emotion

import (
	"compress/gzip"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func gunzip(t *testing.T, s string) []byte {
	t.Helper()
	zr, err := gzip.NewReader(strings.NewReader(s))
	require.NoError(t, err)
	b, err := io.ReadAll(zr)
	require.NoError(t, err)
	return b
}

// FuzzLoad reads one stories file. Whatever it holds, the result is an error
// that names the file, or a corpus that an export gives back unchanged.
func FuzzLoad(f *testing.F) {
	for _, s := range []string{
		"## school\nOne.\n\n## kitchen\nTwo.\n", "", "##", "## \n", "## a", "## a\nx\n## a\ny", "x\n## a\nx", "\ufeff## a\r\nx\r\r\n",
		"## a\n \n\tx \n\n", "## a\n##b\n", "## a\n\xff", "## A\nx\n## a\ny", "## a-b\nx\n## a b\ny", "## a\n\u00a0\u2028x\u0085", "## a/b\nx",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		load := func(text string) (*Corpus, error) {
			return parse(map[string]string{"emotions.txt": "sad", "stories/sad.txt": text})
		}
		c, err := load(text)
		if err != nil {
			require.Regexp(t, `^emotion: stories/sad\.txt(:[1-9][0-9]*)?: `, err.Error())
			return
		}
		require.NotEmpty(t, c.Stories)
		require.NotEmpty(t, c.Topics)
		for _, s := range c.Stories {
			require.NotEmpty(t, strings.TrimSpace(s.Text))
			require.True(t, utf8.ValidString(s.Text))
			require.NotContains(t, s.Text, "\r")
			require.Contains(t, c.Topics, s.Topic)
		}
		files, err := c.files()
		require.NoError(t, err)
		back, err := load(files["stories/sad.txt"])
		require.NoError(t, err)
		require.Equal(t, c, back)
	})
}

func BenchmarkDecode(b *testing.B) {
	b.ReportAllocs()
	b.ReportMetric(float64(len(archive)), "archive-bytes")
	for b.Loop() {
		if _, err := decode(archive); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHash(b *testing.B) {
	c := Embedded()
	for b.Loop() {
		c.Hash()
	}
}
