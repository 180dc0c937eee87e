package chat

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/limbic-go/limbic/llama/chat/jinja"
	"github.com/limbic-go/limbic/llama/gguf"
	"github.com/limbic-go/limbic/llama/token"
)

// The roles of messages. Templates may know others.
const (
	System    = "system"
	User      = "user"
	Assistant = "assistant"
	// Text is the role of the one message of the format raw.
	Text = "text"
)

// A Message is one turn of a conversation.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// A Conversation is what a prompt is made of.
type Conversation struct {
	Messages []Message
	// Prefill is the beginning of the assistant's answer, for the model to
	// continue. It must be empty where the last message is the assistant's.
	Prefill string
}

// Options are options of Format.Prompt. The zero value is good.
type Options struct {
	// NoBOS leaves BOS out, whatever the model's file says. Templates then find
	// bos_token empty.
	NoBOS bool
	// Special makes text that spells a special token that token, in messages
	// and in the prefill, too.
	Special bool
	// Thinking asks templates that have the choice for an answer with reasoning.
	Thinking bool
	// Now is the date that templates are told which ask for it; zero means the
	// time of the call, so that tokens differ from day to day.
	Now time.Time
}

// The names of formats.
const (
	NameRaw            = "raw"
	NameHumanAssistant = "human-assistant"
	NameChat           = "chat"
)

// A Format says how the turns of a conversation are wrapped. It does not change
// and is safe for concurrent use.
type Format struct {
	name     string
	tok      *token.Tokenizer
	where    string          // the file, for errors
	template *jinja.Template // of NameChat
	hash     string
}

// Raw is the format of plain text: the conversation has one message with the
// role Text, which is all of the prompt.
func Raw(tok *token.Tokenizer) *Format { return &Format{name: NameRaw, tok: tok} }

// HumanAssistant is the format of transcripts, "Human: …\n\nAssistant: …", with
// the system's messages as they are, each a paragraph. The answer begins behind
// the colon of "Assistant:".
func HumanAssistant(tok *token.Tokenizer) *Format {
	return &Format{name: NameHumanAssistant, tok: tok}
}

// The keys of templates in a GGUF file.
const (
	templateKey  = "tokenizer.chat_template"
	templatesKey = "tokenizer.chat_templates" // names of variants
)

// ErrNoTemplate is wrapped by the error of FromGGUF for a file without the
// template.
var ErrNoTemplate = errors.New("the model has no chat template")

// FromGGUF gives the format of the chat template in a model's file, or of its
// variant with a name ("" is the template itself). Errors name the file and,
// for what is wrong with the template, the line.
func FromGGUF(f *gguf.File, tok *token.Tokenizer, variant string) (*Format, error) {
	key := templateKey
	if variant != "" {
		key += "." + variant
	}
	source, err := f.String(key)
	if errors.Is(err, gguf.ErrMissing) {
		msg := "no key " + key
		if names := Variants(f); len(names) > 0 {
			msg += "; it has the variants " + strings.Join(names, ", ")
		}
		return nil, fmt.Errorf("chat: %s: %w (%s)", f.Path, ErrNoTemplate, msg)
	}
	if err != nil {
		return nil, err
	}
	where := f.Path + ": key " + key
	t, err := jinja.Parse(source)
	if err != nil {
		return nil, fmt.Errorf("chat: %s: %w", where, err)
	}
	sum := sha256.Sum256([]byte(source))
	return &Format{name: NameChat, tok: tok, where: where, template: t, hash: hex.EncodeToString(sum[:])}, nil
}

// Variants names the variants of the chat template in a file, in its order.
func Variants(f *gguf.File) []string {
	// A key of another type is as good as none: each variant is looked up by
	// its own key.
	names, err := f.Strings(templatesKey)
	if err != nil {
		names = nil
		for _, key := range f.Keys() {
			if name, ok := strings.CutPrefix(key, templateKey+"."); ok {
				names = append(names, name)
			}
		}
	}
	return names
}

// Name is that of the format: raw, human-assistant or chat.
func (f *Format) Name() string { return f.name }

// SHA256 identifies the template of the format chat, in hexadecimal; it is ""
// for other formats.
func (f *Format) SHA256() string { return f.hash }

// Stops are texts that end the assistant's turn where no token does.
func (f *Format) Stops() []string {
	if f.name == NameHumanAssistant {
		return []string{"\n\nHuman:"}
	}
	return nil
}

// Prompt makes the prompt of a conversation. Errors name the message, or the
// file and the line of the template; where a template refuses a conversation,
// the error wraps jinja.ErrRaised.
func (f *Format) Prompt(ctx context.Context, c Conversation, o Options) (*Prompt, error) {
	if err := f.check(c); err != nil {
		return nil, fmt.Errorf("chat: %w", err)
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	var d *draft
	var err error
	switch f.name {
	case NameRaw:
		d = &draft{}
		d.add(c.Messages[0].Content, 1, 1)
	case NameHumanAssistant:
		d = humanAssistant(c)
	default:
		if d, err = f.render(ctx, c, o); err != nil {
			return nil, fmt.Errorf("chat: %s: %w", f.where, err)
		}
	}
	return f.finish(c, d, o), nil
}

func (f *Format) check(c Conversation) error {
	n := len(c.Messages)
	if n == 0 {
		return errors.New("the conversation has no messages")
	}
	for i, m := range c.Messages {
		known := m.Role == System || m.Role == User || m.Role == Assistant
		switch {
		case m.Role == "":
			return fmt.Errorf("message %d has no role", i)
		case f.name == NameRaw && m.Role != Text:
			return fmt.Errorf("the format raw has no role %q", m.Role)
		case f.name == NameHumanAssistant && !known:
			return fmt.Errorf("message %d: the format human-assistant has no role %q", i, m.Role)
		}
	}
	switch {
	case f.name == NameRaw && n > 1:
		return fmt.Errorf("the format raw takes one text, not %d", n)
	case f.name == NameRaw && c.Prefill != "":
		return errors.New("the format raw has no assistant whose answer could have a beginning")
	case c.Prefill != "" && c.Messages[n-1].Role == Assistant:
		return errors.New("the last message is the assistant's: there is no answer that could have a beginning")
	}
	return nil
}

// answers reports whether the assistant is to speak after the conversation.
func (f *Format) answers(c Conversation) bool {
	return f.name != NameRaw && c.Messages[len(c.Messages)-1].Role != Assistant
}

// A draft is a prompt before its tokens: the text and where its parts are from.
type draft struct {
	text   strings.Builder
	parts  []jinja.Part // Source and Turn are the number of a message, from 1
	answer int          // where what lets the assistant begin starts; -1 for nowhere
	dated  bool
}

func (d *draft) add(s string, source, turn int) {
	at := d.text.Len()
	d.text.WriteString(s)
	if s != "" {
		d.parts = append(d.parts, jinja.Part{Start: at, End: at + len(s), Source: source, Turn: turn})
	}
}

// humanAssistant writes a transcript.
func humanAssistant(c Conversation) *draft {
	d := &draft{answer: -1}
	for i, m := range c.Messages {
		if i > 0 {
			d.add("\n\n", 0, 0)
		}
		switch m.Role {
		case User:
			d.add("Human: ", 0, i+1)
		case Assistant:
			d.add("Assistant: ", 0, i+1)
		}
		d.add(m.Content, i+1, i+1)
	}
	if c.Messages[len(c.Messages)-1].Role != Assistant {
		d.add("\n\n", 0, 0)
		d.answer = d.text.Len()
		d.add("Assistant:", 0, 0)
		if c.Prefill != "" {
			d.add(" ", 0, 0)
		}
	}
	return d
}

// name gives a token as templates spell it, "" for none.
func (f *Format) spelled(id int32, ok bool) string {
	if !ok {
		return ""
	}
	return f.tok.Text(id)
}

// render lets the template write.
func (f *Format) render(ctx context.Context, c Conversation, o Options) (*draft, error) {
	var messages []any
	size := 0
	for i, m := range c.Messages {
		size += len(m.Content)
		messages = append(messages, jinja.Object{Source: i + 1, Fields: []jinja.Field{
			{Name: "role", Value: m.Role},
			{Name: "content", Value: jinja.Marked{Text: m.Content, Source: i + 1}},
		}})
	}
	answers := f.answers(c)
	vars := map[string]any{
		"messages": messages, "tools": nil, "documents": nil,
		"add_generation_prompt": answers, "enable_thinking": o.Thinking,
		"eos_token": f.spelled(f.tok.EOS()), "unk_token": f.spelled(f.tok.UNK()), "pad_token": f.spelled(f.tok.PAD()),
		"bos_token": "",
	}
	if o.Thinking {
		vars["thinking"] = true
	}
	if !o.NoBOS {
		vars["bos_token"] = f.spelled(f.tok.BOS())
	}
	// What a template does with the messages takes time and memory in proportion
	// to them; the rest has its own limit.
	options := jinja.Options{
		Variables: vars, Now: o.Now,
		MaxSteps: jinja.DefaultMaxSteps + 64*size, MaxBytes: jinja.DefaultMaxBytes + 64*size,
	}
	out, err := f.template.Render(ctx, options)
	if err != nil {
		return nil, err
	}
	d := &draft{parts: out.Parts, answer: -1, dated: out.Dated}
	d.text.WriteString(out.Text)
	if answers {
		// What comes for add_generation_prompt may come within the loop over the
		// messages: it shows in what is written without.
		d.answer = len(out.Text)
		vars["add_generation_prompt"] = false
		without, err := f.template.Render(ctx, options)
		if err == nil {
			d.answer = commonPrefix(out.Text, without.Text)
		} else if ctx.Err() != nil {
			return nil, err
		}
		// It never begins within a message or before the last one.
		for _, p := range out.Parts {
			if p.Source != 0 {
				d.answer = max(d.answer, p.End)
			}
		}
	}
	return d, nil
}

func commonPrefix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
