package main

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/demo"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/probe"
	"github.com/limbic-go/limbic/tensor/npy"
)

func TestRun(t *testing.T) {
	const other = "../../testdata/models/quant-q4_k_m.gguf"
	for _, c := range []struct {
		name string
		args []string
		open func() (*llama.Model, error)
	}{
		{"embedded model", nil, demo.Model},
		{"another model", []string{"-model", other}, func() (*llama.Model, error) { return llama.Open(other) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.npz")
			var out strings.Builder
			require.NoError(t, run(append(c.args, "-out", path, "She felt", "at home."), nil, &out))

			m, err := c.open()
			require.NoError(t, err)
			defer m.Close()
			want := token.IDs(probe.Encode(m, "She felt at home.").Tokens)
			blocks, width := m.Config().Blocks, m.Config().Width
			z, err := npy.OpenArchive(path)
			require.NoError(t, err)
			defer z.Close()
			require.Len(t, z.Names(), 1+blocks)
			tokens, err := z.Read("tokens")
			require.NoError(t, err)
			require.Equal(t, npy.Array{Shape: []int{len(want)}, Data: want}, tokens)
			var before []float32
			for b := range blocks {
				name := "resid_post." + strconv.Itoa(b)
				a, err := z.Read(name)
				require.NoError(t, err)
				require.Equal(t, []int{len(want), width}, a.Shape)
				require.Contains(t, out.String(), name)
				values, err := npy.As[float32](a)
				require.NoError(t, err)
				require.NotEqual(t, before, values, "blocks differ")
				// Rows are copies: every token has its own.
				require.NotEqual(t, values[width:2*width], values[(len(want)-1)*width:])
				before = values
			}
			require.Contains(t, out.String(), "numpy.load("+strconv.Quote(path)+")")
		})
	}
}

func TestRunRefuses(t *testing.T) {
	out := filepath.Join(t.TempDir(), "a.npz")
	for _, c := range []struct {
		args []string
		err  string
	}{
		{[]string{"-model", "none.gguf"}, "none.gguf"},
		{[]string{"-out", filepath.Join(out, "none", "b.npz")}, "b.npz"},
		{[]string{"-out", out, strings.Repeat("I ran home. ", 1<<12)}, "context"},
	} {
		require.ErrorContains(t, run(c.args, nil, &strings.Builder{}), c.err)
	}
	require.NoFileExists(t, out)
}
