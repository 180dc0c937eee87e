package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/llama/gguf"
)

func TestConvert(t *testing.T) {
	out := filepath.Join(t.TempDir(), "m.gguf")
	for typ, want := range map[string]string{"": "BF16", "f32": "F32", "F16": "F16", "q8_0": "Q8_0 (mixed)"} {
		args := []string{"convert", exampleFolder, out}
		if typ != "" {
			args = append(args, "--type", typ)
		}
		r := okJSON[convertResult](t, args...)
		require.Equal(t, out, r.Out)
		require.Equal(t, want, r.Quantisation)
		require.Equal(t, "F32", r.Tensors["attn_norm"])
		info := okJSON[infoResult](t, "info", out)
		require.True(t, info.Runnable, info.Reason)
		require.Equal(t, r.FileSHA256, info.SHA256)
		require.Equal(t, r.Bytes, info.FileBytes)
		require.Equal(t, r.Parameters, info.Parameters)
		require.True(t, info.ChatTemplate)
		require.Equal(t, okJSON[infoResult](t, "info", exampleFolder).SHA256, r.Provenance.ModelSHA256)
	}
	require.Contains(t, ok(t, "convert", exampleFolder, out, "--type", "q4_0"), "Q4_0")

	// A float GGUF file will do; the weights stay what they are.
	require.Equal(t, "F32", okJSON[convertResult](t, "convert", tiedModel, out).Quantisation)
}

func TestConvertErrors(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "m.gguf")
	require.NoError(t, os.WriteFile(out, []byte("before"), 0o600))
	for _, c := range []struct {
		args   []string
		status int
		part   string
	}{
		{nil, exitUsage, "FOLDER is missing"},
		{[]string{exampleFolder}, exitUsage, "OUT.gguf is missing"},
		{[]string{exampleFolder, out, "x"}, exitUsage, `unexpected argument "x"`},
		{[]string{exampleFolder, out, "--type", "q4_k"}, exitUsage, "none of f32, f16, bf16, q8_0 and q4_0"},
		{[]string{exampleFolder, filepath.Join(dir, "model.safetensors")}, exitUsage, "does not end in .gguf"},
		{[]string{tiedModel, tiedModel}, exitUsage, "is a file of the model that is to be converted"},
		{[]string{dir, out}, exitFailed, "a folder is only a model if it has a config.json"},
		{[]string{exampleFolder, filepath.Join(dir, "nope", "m.gguf")}, exitFailed, "nope"},
		{[]string{testModel, out, "--type", "f16"}, exitFailed, "converting that again would lose precision"},
	} {
		limbic(append([]string{"convert"}, c.args...)...).fails(t, c.status, c.part)
	}
	// No part of a split file is written over either.
	parts := t.TempDir()
	var paths []string
	for i := range 2 {
		var b bytes.Buffer
		require.NoError(t, gguf.Encode(&b, []gguf.KV{{Key: "split.no", Value: gguf.Scalar(uint16(i))}, {Key: "split.count", Value: gguf.Scalar(uint16(2))}}, nil, gguf.EncodeOptions{}))
		paths = append(paths, filepath.Join(parts, fmt.Sprintf("m-%05d-of-00002.gguf", i+1)))
		require.NoError(t, os.WriteFile(paths[i], b.Bytes(), 0o600))
	}
	limbic("convert", paths[0], paths[1]).fails(t, exitUsage, paths[1]+" is a file of the model that is to be converted")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	limbicIn(ctx, "", "convert", exampleFolder, out).fails(t, exitInterrupted, "interrupted before "+out+" was complete")

	text, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Equal(t, "before", string(text), "what was there stays")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "no temporary file is left")
}
