// Package hub finds models on this machine and fetches them when asked to.
//
// A [Ref] says which model is meant: a repository of the Hugging Face Hub, one
// file of it, or an address. A [Store] looks for it in the places where models
// already lie: the cache that Hugging Face's own libraries keep, LM Studio's
// folder, Ollama's, and limbic's own for what came from plain addresses. It
// never touches the network. A [Client] does, in [Client.Pull] alone.
//
// The cache is shared with Hugging Face's libraries, so that what one of them
// fetched, the other finds:
//
//	models--OWNER--REPO/blobs/HASH                 the bytes
//	models--OWNER--REPO/snapshots/COMMIT/FILE      a symbolic link to them
//	models--OWNER--REPO/refs/main                  the commit that main was
//	.locks/models--OWNER--REPO/HASH.lock           held while HASH is fetched
//
// HASH is the file's SHA-256 for large files and its git object name for small
// ones, so every file can be checked. Where the file system has no symbolic
// links, snapshots hold the files themselves.
package hub

import (
	"errors"
	"fmt"
)

// ErrNotFound says that a model lies nowhere on this machine.
var ErrNotFound = errors.New("not on this machine")

// Where models lie.
const (
	HuggingFace = "huggingface" // the cache that Hugging Face's libraries share
	LMStudio    = "lmstudio"
	Ollama      = "ollama"
	Addresses   = "url" // limbic's own cache, for plain addresses
)

// A Model is a model on this machine.
type Model struct {
	Name   string // refers to it, for [Store.Find]
	Source string // HuggingFace, LMStudio, Ollama or Addresses
	Path   string // its file, the first of its files, or the folder of a model in safetensors
	Commit string // of the Hub's repository, 40 hexadecimal digits; empty where unknown
	Files  []File // all of them, in order
}

// Size is the sum of the sizes of all files, in bytes.
func (m *Model) Size() int64 {
	var n int64
	for _, f := range m.Files {
		n += f.Size
	}
	return n
}

// A File is one file of a model.
type File struct {
	Name   string // within its repository, with slashes; or the last part of its path
	Path   string // on this machine
	Size   int64  // in bytes
	SHA256 string // 64 hexadecimal digits; empty where it is not known without reading the file
}

// prefixed names the package in an error.
func prefixed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("hub: %w", err)
}
