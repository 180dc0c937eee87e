//go:build unix

package main

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSignals interrupts a process that is generating.
func TestSignals(t *testing.T) {
	for _, signal := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		// More than can be done in the time it takes to read one byte.
		cmd := exec.Command(testBinary(t), "generate", testModel, "x", "--ignore-eos", "--max-tokens", "100000")
		cmd.Env = append(os.Environ(), asLimbic+"=1")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		stdout, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		_, err = io.ReadFull(stdout, make([]byte, 1))
		require.NoError(t, err)
		require.NoError(t, cmd.Process.Signal(signal))
		_, err = io.Copy(io.Discard, stdout)
		require.NoError(t, err)
		cmd.Wait()
		result{status: cmd.ProcessState.ExitCode(), stderr: stderr.String()}.fails(t, exitInterrupted, "interrupted after")
	}
}

// TestChatInterrupted stops an answer, but not the program.
func TestChatInterrupted(t *testing.T) {
	slowInPlainGo(t)
	cmd := exec.Command(testBinary(t), "chat", testModel, "--format", "human-assistant", "--max-tokens", "100000")
	cmd.Env = append(os.Environ(), asLimbic+"=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	file := filepath.Join(t.TempDir(), "c.json")
	_, err = io.WriteString(stdin, "Hi\n")
	require.NoError(t, err)
	_, err = io.ReadFull(stdout, make([]byte, 1))
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	_, err = io.WriteString(stdin, "/save "+file+"\n/quit\n")
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, stdout)
	require.NoError(t, err)
	cmd.Wait()
	assert.Equal(t, 0, cmd.ProcessState.ExitCode(), stderr.String())
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, 1, bytes.Count(b, []byte(`"finish": "interrupted"`)), "%s", b)
}

// TestClosedPipe stops reading while a process is generating.
func TestClosedPipe(t *testing.T) {
	cmd := exec.Command(testBinary(t), "generate", testModel, "x", "--ignore-eos", "--max-tokens", "100000")
	cmd.Env = append(os.Environ(), asLimbic+"=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	r, w, err := os.Pipe()
	require.NoError(t, err)
	cmd.Stdout = w
	require.NoError(t, cmd.Start())
	w.Close()
	_, err = io.ReadFull(r, make([]byte, 1))
	require.NoError(t, err)
	r.Close()
	cmd.Wait()
	assert.Equal(t, exitFailed, cmd.ProcessState.ExitCode())
	assert.Empty(t, stderr.String())
}

// TestOutNeverReplacesSpecialFiles: results replace files by a rename, which
// must not happen to a device. A named pipe stands for one here.
func TestOutNeverReplacesSpecialFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"f.npy", "f.npz", "f.safetensors"} {
		path := filepath.Join(dir, name)
		require.NoError(t, syscall.Mkfifo(path, 0o600))
		link := filepath.Join(dir, "link-"+name)
		require.NoError(t, os.Symlink(path, link))
		command := "trace"
		if name == "f.npy" {
			command = "logits"
		}
		for _, out := range []string{path, link} {
			limbic(command, testModel, "x", "--out", out).fails(t, exitFailed, out, "not a regular file")
		}
		info, err := os.Lstat(path)
		require.NoError(t, err)
		assert.Equal(t, fs.ModeNamedPipe, info.Mode().Type())
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, left, 6, "files were left behind")
}
