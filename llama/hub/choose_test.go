package hub

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func listing(names ...string) []listed {
	var files []listed
	for i, n := range names {
		files = append(files, listed{name: n, size: int64(i+1) << 20})
	}
	return files
}

func TestChoose(t *testing.T) {
	usual := listing("README.md", "m-Q2_K.gguf", "m-Q4_K_M.gguf", "m-Q8_0.gguf", "mmproj-F16.gguf", "m.imatrix.gguf")
	split := listing("Q8_0/m-Q8_0-00001-of-00002.gguf", "Q8_0/m-Q8_0-00002-of-00002.gguf", "m-UD-Q4_K_XL.gguf", "BF16/m-00001-of-00001.gguf")
	several := listing("a-1b-q4_k_m.gguf", "a-4b-q4_k_m.gguf", "a-1b-q8_0.gguf")
	for _, c := range []struct {
		name      string
		files     []listed
		tag, file string
		want      string // the first file chosen, or
		err       string
	}{
		{"the usual one", usual, "", "", "m-Q4_K_M.gguf", ""},
		{"a tag, in any case", usual, "q8_0", "", "m-Q8_0.gguf", ""},
		{"latest means none", usual, "latest", "", "m-Q4_K_M.gguf", ""},
		{"a file", usual, "", "m-Q2_K.gguf", "m-Q2_K.gguf", ""},
		{"a file, in another case", usual, "", "M-q2_k.GGUF", "m-Q2_K.gguf", ""},
		{"a name as a tag", usual, "m-q2_k.gguf", "", "m-Q2_K.gguf", ""},
		{"part of a tag", usual, "K_M", "", "", "no such file with the tag K_M; there is o/r:Q2_K (2.0 MiB), o/r:Q4_K_M (3.0 MiB), o/r:Q8_0 (4.0 MiB)"},
		{"a projector is no model", usual, "F16", "", "", "no such file"},
		{"the next best", listing("m-Q2_K.gguf", "m-Q6_K.gguf", "m-F16.gguf"), "", "", "m-Q6_K.gguf", ""},
		{"the only one", listing("ggml-model.gguf"), "", "", "ggml-model.gguf", ""},
		{"none usual", listing("m-IQ1_S.gguf", "m-Q2_K.gguf"), "", "", "", "say which: o/r:IQ1_S (1.0 MiB), o/r:Q2_K (2.0 MiB)"},
		{"several models", several, "", "", "", "say which: o/r/a-1b-q4_k_m.gguf (1.0 MiB), o/r/a-4b-q4_k_m.gguf (2.0 MiB)"},
		{"several models, a tag", several, "Q4_K_M", "", "", "fits several"},
		{"several models, one with the tag", several, "Q8_0", "", "a-1b-q8_0.gguf", ""},
		{"all parts", split, "q8_0", "", "Q8_0/m-Q8_0-00001-of-00002.gguf", ""},
		{"all parts, from a later one", split, "", "Q8_0/m-Q8_0-00002-of-00002.gguf", "Q8_0/m-Q8_0-00001-of-00002.gguf", ""},
		{"by its last part", split, "", "m-Q8_0-00001-of-00002.gguf", "Q8_0/m-Q8_0-00001-of-00002.gguf", ""},
		{"a folder's name", split, "bf16", "", "BF16/m-00001-of-00001.gguf", ""},
		{"a mixed quantisation", split, "UD-Q4_K_XL", "", "m-UD-Q4_K_XL.gguf", ""},
		{"its end", split, "Q4_K_XL", "", "m-UD-Q4_K_XL.gguf", ""},
		{"exact before its end", listing("m-UD-Q4_K_M.gguf", "m-Q4_K_M.gguf"), "Q4_K_M", "", "m-Q4_K_M.gguf", ""},
		{"nothing", listing("config.json"), "", "", "", "there is no GGUF file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, err := choose(groupFiles(c.files), Ref{Owner: "o", Repo: "r", Tag: c.tag, File: c.file})
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.NoError(t, g.whole())
			assert.Equal(t, c.want, g.files[0].name)
		})
	}
}

func TestChooseIncomplete(t *testing.T) {
	g, err := choose(groupFiles(listing("m-00001-of-00003.gguf", "m-00003-of-00003.gguf", "m-00004-of-00003.gguf")), Ref{Owner: "o", Repo: "r"})
	require.NoError(t, err)
	require.EqualError(t, g.whole(), "m.gguf: 2 of its 3 parts are there")
}
