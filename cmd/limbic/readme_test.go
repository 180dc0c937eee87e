package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The README states a hash that its reader can reproduce: it must be the one
// that its command prints.
func TestReadmeHash(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	command := "vectors build testdata/models/tiny-f32.gguf --emotions afraid,calm,desperate,happy --topics sea --out"
	require.Contains(t, string(readme), command)
	args := append(strings.Fields(command), filepath.Join(t.TempDir(), "tiny.safetensors"))
	require.Contains(t, string(readme), "means_sha256   "+okJSON[vectorsBuildResult](t, args...).MeansSHA256)
}
