package probe

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/tensor/safetensors"
)

// Whatever bytes stand for a vectors file, decoding gives an error or vectors
// that can be read with.
func FuzzLoad(f *testing.F) {
	path := filepath.Join(f.TempDir(), "v")
	require.NoError(f, handMade().complete().Save(path))
	seed, err := os.ReadFile(path)
	require.NoError(f, err)
	f.Add(seed)
	f.Add(bytes.Replace(seed, []byte(`\"width\":4`), []byte(`\"width\":2`), 1))
	f.Add(bytes.Replace(seed, []byte(`resid_post:1`), []byte(`resid_post:9`), 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := safetensors.Parse(b)
		if err != nil {
			return
		}
		v, err := decode(file)
		if err != nil {
			return
		}
		r, err := v.NewReader(ReaderOptions{Score: CosineOf})
		require.NoError(t, err)
		r.Read(make([]float32, v.Width), make([]float32, len(v.Emotions)), nil)
	})
}

// complete fills in what a saved file needs beside what readers need.
func (v *Vectors) complete() *Vectors {
	v.Counts, v.MeanTokens = []int{1, 1}, []float64{60, 70}
	for i := range v.Sites {
		v.Sites[i].Grand = make([]float32, v.Width)
	}
	return v
}

// Whatever bytes stand for a journal, it is refused and left alone, or opened
// with whole records only.
func FuzzJournal(f *testing.F) {
	const key, sites, width, units = `{"a build":1}`, 2, 3, 8
	dir := f.TempDir()
	j, err := openJournal(filepath.Join(dir, "seed"), key, sites, width, units)
	require.NoError(f, err)
	require.NoError(f, j.append([]int{3, 1}, []Pooled{
		{Tokens: 9, Positions: 2, Means: []float32{1, 2, 3, 4, 5, 6}},
		{Tokens: 4, Cut: true, Norms: [][]float32{{1}, {2}}},
	}))
	require.NoError(f, j.close())
	seed, err := os.ReadFile(filepath.Join(dir, "seed"))
	require.NoError(f, err)
	f.Add(seed)
	f.Add(seed[:len(seed)-3])
	f.Add([]byte(key + "\n"))
	f.Add([]byte{})
	path := filepath.Join(dir, "fuzz")
	f.Fuzz(func(t *testing.T, b []byte) {
		require.NoError(t, os.WriteFile(path, b, 0o666))
		j, err := openJournal(path, key, sites, width, units)
		if err != nil {
			left, err := os.ReadFile(path)
			require.NoError(t, err)
			require.True(t, bytes.Equal(b, left), "a refused file was changed")
			return
		}
		n := 0
		require.NoError(t, j.each(sites, width, func(unit int, p Pooled, _ int64) error {
			require.True(t, j.done[unit])
			require.True(t, p.Positions == 0 || len(p.Means) == sites*width)
			n++
			return nil
		}))
		require.Len(t, j.done, n)
		require.NoError(t, j.close())
	})
}

func TestParseSiteNamesOfSaved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "v")
	v := handMade().complete()
	v.Sites[1].Site = llama.Site{Point: llama.FinalNorm}
	require.NoError(t, v.Save(path))
	got, err := Load(path)
	require.NoError(t, err)
	require.Equal(t, []string{"resid_post:1", "final_norm"}, got.SiteNames())
}
