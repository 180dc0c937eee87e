package hftoken

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// document is what is read of tokenizer.json.
type document struct {
	Added         []added `json:"added_tokens"`
	Normalizer    stages  `json:"normalizer"`
	PreTokenizer  stages  `json:"pre_tokenizer"`
	PostProcessor stages  `json:"post_processor"`
	Model         struct {
		Type         string           `json:"type"`
		Vocab        map[string]int32 `json:"vocab"`
		Merges       []merge          `json:"merges"`
		Unknown      string           `json:"unk_token"`
		Prefix       string           `json:"continuing_subword_prefix"`
		Suffix       string           `json:"end_of_word_suffix"`
		ByteFallback bool             `json:"byte_fallback"`
		IgnoreMerges bool             `json:"ignore_merges"`
	} `json:"model"`
}

// UnmarshalJSON of the vocabulary would fail on Unigram's, which is a list, with
// an error that says nothing of Unigram; so the type is looked at first.
func modelType(data []byte) (string, error) {
	var d struct {
		Model struct {
			Type   string          `json:"type"`
			Merges json.RawMessage `json:"merges"`
		} `json:"model"`
	}
	err := decode(tokenizerFile, data, &d)
	if d.Model.Type == "" && len(d.Model.Merges) > 0 {
		return "BPE", err // old files name no type
	}
	return d.Model.Type, err
}

type added struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	Special    bool   `json:"special"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	SingleWord bool   `json:"single_word"`
}

// merge is written "left right" or as a list of the two.
type merge [2]string

func (m *merge) UnmarshalJSON(data []byte) error {
	if data[0] == '[' {
		var list []string
		if err := json.Unmarshal(data, &list); err != nil {
			return err
		}
		if len(list) != 2 {
			return fmt.Errorf("a merge of %d parts", len(list))
		}
		*m = merge(list)
		return nil
	}
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	left, right, ok := strings.Cut(s, " ")
	if !ok {
		return fmt.Errorf("merge %.64q has one part", s)
	}
	*m = merge{left, right}
	return nil
}

// stages are a component and what it consists of. Components take up many times
// the bytes that they are written with, so these are few.
type stages struct{ *component }

// maxStages bounds the bytes that a component is written with.
const maxStages = 1 << 20

func (s *stages) UnmarshalJSON(data []byte) error {
	if len(data) > maxStages {
		return fmt.Errorf("a normalizer, pre-tokenizer or post-processor of more than %d bytes", maxStages)
	}
	return json.Unmarshal(data, &s.component)
}

// component is a normalizer, a pre-tokenizer or a post-processor.
type component struct {
	Type string `json:"type"`

	Normalizers   []*component `json:"normalizers"`
	PreTokenizers []*component `json:"pretokenizers"`
	Processors    []*component `json:"processors"`

	Pattern *struct {
		String *string `json:"String"`
		Regex  *string `json:"Regex"`
	} `json:"pattern"`
	Behavior string `json:"behavior"`
	Invert   bool   `json:"invert"`

	Prepend        string  `json:"prepend"`
	Content        string  `json:"content"`
	Replacement    string  `json:"replacement"`
	PrependScheme  string  `json:"prepend_scheme"`
	AddPrefixSpace *bool   `json:"add_prefix_space"`
	UseRegex       *bool   `json:"use_regex"`
	Split          *bool   `json:"split"`
	Individual     bool    `json:"individual_digits"`
	Single         []piece `json:"single"`
}

// piece is a part of what a TemplateProcessing makes of one text.
type piece struct {
	Special *struct {
		ID string `json:"id"`
	} `json:"SpecialToken"`
	Sequence *struct{} `json:"Sequence"`
}

// maxDepth bounds sequences of sequences.
const maxDepth = 16

// flatten gives the components of a sequence, of sequences in it too.
func flatten(c *component, depth int) ([]*component, error) {
	switch {
	case c == nil:
		return nil, nil
	case c.Type != "Sequence":
		return []*component{c}, nil
	case depth == maxDepth:
		return nil, errors.New("sequences are nested too deeply")
	}
	var all []*component
	for _, list := range [][]*component{c.Normalizers, c.PreTokenizers, c.Processors} {
		for _, x := range list {
			flat, err := flatten(x, depth+1)
			if err != nil {
				return nil, err
			}
			all = append(all, flat...)
		}
	}
	return all, nil
}

func isTrue(b *bool, def bool) bool {
	if b == nil {
		return def
	}
	return *b
}

// literal gives the pattern's string, "" where it is another pattern.
func (c *component) literal() string {
	if c.Pattern == nil || c.Pattern.String == nil {
		return ""
	}
	return *c.Pattern.String
}
