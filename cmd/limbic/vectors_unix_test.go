//go:build unix

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestVectorsBuildNeverReplacesSpecialFiles is about each of the three files
// that a build writes. A named pipe stands for a device here.
func TestVectorsBuildNeverReplacesSpecialFiles(t *testing.T) {
	for _, name := range []string{"v.safetensors", "v.stories.safetensors", "v.safetensors.part"} {
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		require.NoError(t, syscall.Mkfifo(path, 0o600))
		limbic("vectors", "build", vectorsModel, "--emotions", "calm", "--topics", "sea", "--out", filepath.Join(dir, "v.safetensors")).
			fails(t, exitFailed, path, "not a regular file")
		info, err := os.Lstat(path)
		require.NoError(t, err)
		assert.Equal(t, fs.ModeNamedPipe, info.Mode().Type())
		assert.Equal(t, []string{name}, names(t, dir))
	}
}
