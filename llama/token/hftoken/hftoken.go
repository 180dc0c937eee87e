// Package hftoken reads the tokenizer files of a model as Hugging Face keeps
// them: tokenizer.json and what stands beside it.
//
// Two kinds of tokenizer.json are read, both of model type BPE: byte-level ones
// (pre-tokenizer ByteLevel), and those that were converted from SentencePiece
// (spaces written ▁, byte_fallback). They become vocabularies of the models
// "gpt2" and "llama" of package token. Which splitter a byte-level tokenizer has
// is told from its regular expressions. Whatever a file asks for that these
// vocabularies don't have is an error that shows it.
//
// Two things are taken more simply than the files say. An added token is looked
// for in the text as it is, also where the file wants it looked for in the
// normalized text. And tokens that lie across each other in a text are found
// longest first, not leftmost first.
package hftoken

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/limbic-go/limbic/llama/gguf"
)

// The most bytes of tokenizer.json, and of any other file, that are read.
const (
	maxTokenizer = 128 << 20 // four times the largest that is known
	maxOther     = 16 << 20
)

// Files are the contents of the files that say what a model's tokenizer is; nil
// for one that isn't there. Only tokenizer.json is needed.
type Files struct {
	Tokenizer     []byte // tokenizer.json
	Config        []byte // tokenizer_config.json
	SpecialTokens []byte // special_tokens_map.json
	Generation    []byte // generation_config.json
	ChatTemplate  []byte // chat_template.jinja
}

const (
	tokenizerFile  = "tokenizer.json"
	configFile     = "tokenizer_config.json"
	specialFile    = "special_tokens_map.json"
	generationFile = "generation_config.json"
	templateFile   = "chat_template.jinja"
)

// Read reads the files from a folder. Errors name the file; one without a
// tokenizer.json wraps fs.ErrNotExist.
func Read(dir string) (Files, error) {
	var f Files
	for _, x := range []struct {
		name string
		to   *[]byte
		most int64
	}{
		{tokenizerFile, &f.Tokenizer, maxTokenizer}, {configFile, &f.Config, maxOther},
		{specialFile, &f.SpecialTokens, maxOther}, {generationFile, &f.Generation, maxOther},
		{templateFile, &f.ChatTemplate, maxOther},
	} {
		data, err := readFile(filepath.Join(dir, x.name), x.most)
		if errors.Is(err, fs.ErrNotExist) && x.name != tokenizerFile {
			continue
		}
		if err != nil {
			return Files{}, fmt.Errorf("hftoken: %w", err)
		}
		*x.to = data
	}
	return f, nil
}

func readFile(path string, most int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s: more than %d bytes", path, most)
	}
	return data, err
}

// decode reads a JSON file. No data is as good as an empty object.
func decode(name string, data []byte, to any) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, to); err != nil {
		return fmt.Errorf("hftoken: %s: %w", name, err)
	}
	return nil
}

// A Template is a chat template; the model's main one has the name "".
type Template struct {
	Name string `json:"name"`
	Text string `json:"template"`
}

// Templates gives the chat templates, from chat_template.jinja or else from
// tokenizer_config.json: none where there are none.
func (f Files) Templates() ([]Template, error) {
	if len(f.ChatTemplate) > 0 {
		return []Template{{Text: string(f.ChatTemplate)}}, nil
	}
	var c struct {
		Template json.RawMessage `json:"chat_template"`
	}
	if err := decode(configFile, f.Config, &c); err != nil {
		return nil, err
	}
	switch {
	case len(c.Template) == 0 || string(c.Template) == "null":
		return nil, nil
	case c.Template[0] == '"':
		var text string
		err := decode(configFile, c.Template, &text)
		return []Template{{Text: text}}, err
	}
	var list []Template
	if err := json.Unmarshal(c.Template, &list); err != nil {
		return nil, fmt.Errorf("hftoken: %s: chat_template is neither a string nor a list of named templates: %w", configFile, err)
	}
	seen := map[string]bool{}
	for i := range list {
		if list[i].Name == "default" {
			list[i].Name = ""
		} else if list[i].Name == "" {
			return nil, fmt.Errorf("hftoken: %s: chat template %d has no name", configFile, i)
		}
		if seen[list[i].Name] {
			return nil, fmt.Errorf("hftoken: %s: two chat templates have the name %.64q", configFile, list[i].Name)
		}
		seen[list[i].Name] = true
	}
	return list, nil
}

// Metadata gives the keys of a GGUF file for the vocabulary (see
// [token.Vocab.Metadata]) and the chat templates.
func (f Files) Metadata() ([]gguf.KV, error) {
	v, err := f.Vocab()
	if err != nil {
		return nil, err
	}
	list, err := f.Templates()
	if err != nil {
		return nil, err
	}
	const key = "tokenizer.chat_template"
	kvs := v.Metadata()
	var names []string
	for _, t := range list {
		if t.Name == "" {
			kvs = append(kvs, gguf.KV{Key: key, Value: gguf.Scalar(t.Text)})
			continue
		}
		names = append(names, t.Name)
		kvs = append(kvs, gguf.KV{Key: key + "." + t.Name, Value: gguf.Scalar(t.Text)})
	}
	if len(names) > 0 {
		kvs = append(kvs, gguf.KV{Key: key + "s", Value: gguf.Array(names)})
	}
	return kvs, nil
}
