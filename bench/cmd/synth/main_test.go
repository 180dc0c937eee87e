package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/llama/gguf"
)

func TestRun(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	require.NoError(t, run([]string{"-shape", "tiny", "-quant", "Q8_0,q4_k_m", "-dir", dir}, &out, io.Discard))
	for _, name := range []string{"tiny-Q8_0.gguf", "tiny-Q4_K_M.gguf"} {
		assert.Contains(t, out.String(), name)
		f, err := gguf.Open(filepath.Join(dir, name))
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		args []string
		err  string
	}{
		{[]string{"-shape", "gpt"}, `unknown shape "gpt"`},
		{[]string{"-shape", "tiny", "-quant", "Q8_0,Q9"}, `unknown quantisation "Q9"`},
		{[]string{"-shape", "tiny", "-seed", "1", "x"}, `unexpected argument "x"`},
		{[]string{"-shape", "tiny", "-dir", filepath.Join(dir, "none")}, "none"},
	} {
		assert.ErrorContains(t, run(c.args, io.Discard, io.Discard), c.err)
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}
