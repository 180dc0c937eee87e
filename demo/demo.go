// Package demo is a small language model with its emotion vectors, embedded in
// the program: all that limbic does can be tried without fetching anything.
//
// The model was trained for this project, on texts in simple English that were
// made for it and on the stories of package emotion, all but those on six
// topics: see UnseenTopics. What is said about those six is said about texts that
// the model has never seen.
//
// Both files are checked against the hashes below when they are opened.
// "go generate ./demo" makes the vectors, the hashes and nothing else anew from
// model.gguf.
package demo

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed" // for the files
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/gguf"
	"github.com/limbic-go/limbic/probe"
)

//go:generate go run ./_gen

//go:embed model.gguf
var modelFile []byte

//go:embed vectors.safetensors
var vectorsFile []byte

//go:embed figures.json
var figuresFile []byte

// Name is how errors and results name the embedded model and vectors.
const Name = "demo"

// UnseenTopics gives the six topics of the embedded corpus on which the model
// has read nothing in training, neither stories nor neutral texts.
func UnseenTopics() []string {
	return []string{"cafe", "court", "hotel", "night", "interview", "machine"}
}

// File opens the model's file, without copying it. Its hash is ModelSHA256, or
// opening it fails.
func File() (*gguf.File, error) {
	f, err := gguf.Parse(modelFile, Name)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	// The hash stays with the file: whoever asks for it gets it for nothing.
	sum, err := f.SHA256(context.Background())
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	if sum != ModelSHA256 {
		return nil, fmt.Errorf("demo: the embedded model is not the one that it should be: its SHA-256 is %s, not %s", sum, ModelSHA256)
	}
	return f, nil
}

// Model opens the model. Its quantised weights are read where they lie in the
// program. Whoever opens it closes it.
func Model() (*llama.Model, error) {
	f, err := File()
	if err != nil {
		return nil, err
	}
	m, err := llama.New(f)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	return m, nil
}

// Vectors gives the vectors of all 171 emotions at the output of every block of
// the model, built from the whole embedded corpus. They lack the form
// probe.RawMean. Every call makes vectors of its own.
func Vectors() (*probe.Vectors, error) {
	if sum := hash(vectorsFile); sum != VectorsSHA256 {
		return nil, fmt.Errorf("demo: the embedded vectors are not those that they should be: the SHA-256 of their file is %s, not %s", sum, VectorsSHA256)
	}
	v, err := probe.Parse(vectorsFile, Name)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	return v, nil
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// A Figure is something that was measured of the model when it was trained.
type Figure struct {
	Name  string `json:"name"`
	Value string `json:"value"` // with its unit
	// Beside is what to compare it with: chance, a baseline or another model.
	Beside string `json:"beside,omitempty"`
	Note   string `json:"note,omitempty"` // how it was measured
}

// A Card is what there is to say about the model that it does not show itself.
type Card struct {
	// Made says in some sentences how the model was made and what it is not.
	Made    []string `json:"made"`
	Figures []Figure `json:"figures"`
}

// ModelCard gives the card of the model. It is empty where none was written.
func ModelCard() (Card, error) {
	var c Card
	d := json.NewDecoder(bytes.NewReader(figuresFile))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return Card{}, fmt.Errorf("demo: figures.json: %w", err)
	}
	return c, nil
}
