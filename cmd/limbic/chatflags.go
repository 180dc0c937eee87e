package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/limbic-go/limbic/llama/chat"
	"github.com/limbic-go/limbic/llama/gguf"
	"github.com/limbic-go/limbic/llama/token"
)

// chatHelp is what commands' help texts say about conversations.
const chatHelp = `--chat takes TEXT for what a user says and wraps it with the chat template in the
model's file; --messages F.json takes a conversation, a list of {role, content}.
--format human-assistant wraps it as "Human: ..." and "Assistant: ..." instead.
--system and --prefill add a system's message and the beginning of the answer.
What messages spell is text, never a special token, unless --special.`

// chatFlags are the flags of every command that takes conversations. They say
// how texts are wrapped.
type chatFlags struct {
	chat     bool
	messages string
	system   string
	prefill  string
	format   string
	variant  string
	date     string
	thinking bool

	given struct{ messages, system, prefill, template bool }
	now   time.Time
}

func (f *chatFlags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.BoolVar(&f.chat, "chat", false, "take TEXT for what a user says, and wrap it with the model's chat template")
	fs.StringVar(&f.messages, "messages", "", "take the conversation in the file `F.json`, a list of {\"role\", \"content\"}, instead of TEXT; - is standard input")
	fs.StringVar(&f.prefill, "prefill", "", "begin the assistant's answer with `S`")
	fs.StringVar(&f.format, "format", "", "wrap texts as `raw|human-assistant|chat`; raw unless there is a conversation")
	f.registerWrapping(cmd)
}

// registerWrapping adds the flags that say more about how turns are wrapped.
func (f *chatFlags) registerWrapping(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.system, "system", "", "begin the conversation with the system's message `S`")
	fs.StringVar(&f.variant, "template", "", "use the variant `NAME` of the model's chat template")
	fs.StringVar(&f.date, "date", "", "the date `YYYY-MM-DD` for chat templates that ask for it (default: today)")
	fs.BoolVar(&f.thinking, "thinking", false, "ask chat templates that have the choice for an answer with reasoning")
}

// check is called before anything is opened. many says that conversations may
// come from a file of texts.
func (f *chatFlags) check(cmd *cobra.Command, many bool) error {
	fs := cmd.Flags()
	f.given.messages, f.given.system, f.given.prefill = fs.Changed("messages"), fs.Changed("system"), fs.Changed("prefill")
	f.given.template = fs.Changed("template") || fs.Changed("thinking") || fs.Changed("date")
	switch f.format {
	case chat.NameRaw, chat.NameHumanAssistant, chat.NameChat:
	default:
		if fs.Changed("format") {
			return usagef("--format %s: want raw, human-assistant or chat", abbreviated(f.format))
		}
	}
	raw := f.formatOf(f.given.messages) == chat.NameRaw
	switch {
	case f.format == chat.NameRaw && f.chat:
		return usagef("--chat and --format raw exclude each other")
	case f.format == chat.NameRaw && f.given.messages:
		return usagef("--messages and --format raw exclude each other: raw text has no turns")
	case f.given.messages && f.messages == "":
		return usagef("--messages names no file")
	case raw && !(many && f.format == "") && (f.given.system || f.given.prefill):
		return usagef("--system and --prefill need --chat, --messages or --format human-assistant")
	case raw && !(many && f.format == "") && f.given.template:
		return usagef("--template, --date and --thinking need --chat or --messages")
	case f.given.template && f.format == chat.NameHumanAssistant:
		return usagef("--template, --date and --thinking are for chat templates, not for --format human-assistant")
	}
	f.now = time.Now()
	if fs.Changed("date") {
		var err error
		if f.now, err = time.Parse(time.DateOnly, f.date); err != nil {
			return usagef("--date %s: want YYYY-MM-DD", abbreviated(f.date))
		}
	}
	return nil
}

// formatOf is the format for a text, or for messages.
func (f *chatFlags) formatOf(messages bool) string {
	switch {
	case f.format != "":
		return f.format
	case f.chat || messages:
		return chat.NameChat
	}
	return chat.NameRaw
}

// ofText makes the conversation of one text.
func (f *chatFlags) ofText(text string) (chat.Conversation, error) {
	if f.formatOf(false) == chat.NameRaw {
		return chat.Conversation{Messages: []chat.Message{{Role: chat.Text, Content: text}}}, nil
	}
	return f.complete([]chat.Message{{Role: chat.User, Content: text}})
}

// ofMessages makes the conversation of the messages in a JSON document.
func (f *chatFlags) ofMessages(doc []byte) (chat.Conversation, error) {
	messages, err := parseMessages(doc)
	if err != nil {
		return chat.Conversation{}, err
	}
	return f.complete(messages)
}

// complete adds what flags say to a conversation.
func (f *chatFlags) complete(messages []chat.Message) (chat.Conversation, error) {
	c := chat.Conversation{Messages: messages, Prefill: f.prefill}
	if f.given.system {
		if len(messages) > 0 && messages[0].Role == chat.System {
			return c, errors.New("--system: the conversation begins with a system's message already")
		}
		c.Messages = append([]chat.Message{{Role: chat.System, Content: f.system}}, messages...)
	}
	return c, nil
}

// parseMessages reads a list of messages. What it does not know is an error: a
// template would have to do without.
func parseMessages(doc []byte) ([]chat.Message, error) {
	// What /save of the command chat writes holds one.
	var saved struct {
		Messages json.RawMessage `json:"messages"`
	}
	if json.Unmarshal(doc, &saved) == nil && saved.Messages != nil {
		doc = saved.Messages
	}
	var list []map[string]json.RawMessage
	d := json.NewDecoder(bytes.NewReader(doc))
	if err := d.Decode(&list); err != nil {
		return nil, fmt.Errorf(`want a list of {"role": ..., "content": "..."}: %w`, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("more follows the list of messages")
	}
	if len(list) == 0 {
		return nil, errors.New("there are no messages")
	}
	var messages []chat.Message
	for i, fields := range list {
		var m chat.Message
		for name, to := range map[string]*string{"role": &m.Role, "content": &m.Content} {
			v, ok := fields[name]
			if !ok {
				return nil, fmt.Errorf("message %d: %q is missing", i, name)
			}
			if err := json.Unmarshal(v, to); err != nil || string(v) == "null" {
				return nil, fmt.Errorf("message %d: %q is no string", i, name)
			}
		}
		for name := range maps.Keys(fields) {
			if name != "role" && name != "content" {
				return nil, fmt.Errorf("message %d: %s is not supported", i, abbreviated(name))
			}
		}
		messages = append(messages, m)
	}
	return messages, nil
}

// A prompter makes prompts of conversations as a command's flags say: the one
// place where texts become tokens.
type prompter struct {
	app     *app
	flags   *textFlags
	file    *gguf.File
	tok     *token.Tokenizer
	formats map[string]*chat.Format
	warned  map[string]bool
}

func (f *textFlags) prompter(a *app, file *gguf.File, tok *token.Tokenizer) *prompter {
	return &prompter{a, f, file, tok, map[string]*chat.Format{}, map[string]bool{}}
}

// format gives the format of a name.
func (p *prompter) format(name string) (*chat.Format, error) {
	if f, ok := p.formats[name]; ok {
		return f, nil
	}
	var f *chat.Format
	switch name {
	case chat.NameRaw:
		f = chat.Raw(p.tok)
	case chat.NameHumanAssistant:
		f = chat.HumanAssistant(p.tok)
	default:
		var err error
		if f, err = chat.FromGGUF(p.file, p.tok, p.flags.chat.variant); err != nil {
			err = unprefixed{err, "chat: "}
			if errors.Is(err, chat.ErrNoTemplate) && p.flags.chat.variant == "" {
				return nil, fmt.Errorf("%w; --format human-assistant wraps turns without one", err)
			}
			return nil, err
		}
	}
	p.formats[name] = f
	return f, nil
}

// prompt makes the prompt of a conversation, messages or a text.
func (p *prompter) prompt(ctx context.Context, c chat.Conversation, messages bool) (*prompt, error) {
	name := p.flags.chat.formatOf(messages)
	f, err := p.format(name)
	if err != nil {
		return nil, err
	}
	got, err := f.Prompt(ctx, c, chat.Options{
		NoBOS: p.flags.noBOS, Special: p.flags.special, Thinking: p.flags.chat.thinking, Now: p.flags.chat.now,
	})
	if err != nil {
		return nil, unprefixed{err, "chat: "}
	}
	for _, i := range got.LeftOut(c) {
		p.warn(fmt.Sprintf("the chat template leaves out message %d, the %s's", i, c.Messages[i].Role))
	}
	if bos, ok := p.tok.BOS(); ok && len(got.Tokens) > 1 && got.Tokens[0].ID == bos && got.Tokens[1].ID == bos {
		p.warn("the text itself begins with BOS twice")
	}
	out := &prompt{Prompt: got, conversation: c, format: f}
	if r := p.flags.read.Reading; !r.IsZero() {
		if out.read, err = got.Read(r); err != nil {
			return nil, fmt.Errorf("--read %w", err)
		}
	}
	return out, nil
}

// warn warns once.
func (p *prompter) warn(text string) {
	if !p.warned[text] {
		p.warned[text] = true
		p.app.warn("%s", text)
	}
}

// A prompt is what a model is to read.
type prompt struct {
	*chat.Prompt
	conversation chat.Conversation
	format       *chat.Format
	read         []int // tokens that --read means; nil where it is not given
}

// answerable refuses a prompt that nobody is to continue.
func (p *prompt) answerable() error {
	if p.format.Name() != chat.NameRaw && p.Start == nil {
		return errors.New("the last message is the assistant's: there is nothing to answer; --prefill gives the beginning of an answer")
	}
	return nil
}

// A promptNote says in a provenance how a conversation was wrapped.
type promptNote struct {
	Format         string         `json:"format"`
	TemplateSHA256 string         `json:"template_sha256,omitempty"`
	Variant        string         `json:"variant,omitempty"`
	Date           string         `json:"date,omitempty"` // where the template asked for it
	Thinking       bool           `json:"thinking,omitempty"`
	Messages       []chat.Message `json:"messages,omitempty"`
	Prefill        string         `json:"prefill,omitempty"`
	Read           string         `json:"read,omitempty"`
}

// definePrompt states how a text or a conversation became tokens.
func (p *provenance) definePrompt(f *textFlags, from *prompt) {
	p.Definitions = maps.Clone(p.Definitions) // each text of many has its own
	p.defineText(f)
	name := from.format.Name()
	p.define("format", name)
	read := f.read.Reading
	if name == chat.NameRaw && read.IsZero() {
		return
	}
	n := &promptNote{Format: name, Prefill: from.conversation.Prefill, Read: read.String()}
	if name != chat.NameRaw {
		n.Messages = from.conversation.Messages
	}
	if name == chat.NameChat {
		n.TemplateSHA256, n.Variant, n.Thinking = from.format.SHA256(), f.chat.variant, f.chat.thinking
		if from.Dated {
			n.Date = f.chat.now.Format(time.DateOnly)
		}
	}
	p.Prompt = n
}

// A turnsNote says in a result where turns stand in a prompt.
type turnsNote struct {
	Turns   []chat.Turn `json:"turns,omitempty"`
	Start   *chat.Span  `json:"assistant_start,omitempty"`
	Prefill *chat.Span  `json:"prefill,omitempty"`
}

// turns is the zero value for raw text.
func (p *prompt) turns() turnsNote {
	if p.format.Name() == chat.NameRaw {
		return turnsNote{}
	}
	return turnsNote{p.Turns, p.Start, p.Prefill}
}

// shown is what people know the prompt by: the text, or what was said last.
func (p *prompt) shown() string {
	m := p.conversation.Messages
	return m[len(m)-1].Content + p.conversation.Prefill
}

// readFlag makes a flag of a reading.
type readFlag struct{ chat.Reading }

// Type is what the help calls the value.
func (*readFlag) Type() string { return "where" }

// Set reads the value of the flag.
func (f *readFlag) Set(s string) error {
	r, err := chat.ParseReading(s)
	if err != nil {
		return unprefixed{err, "chat: "}
	}
	f.Reading = r
	return nil
}

// source reads what a command is about, before a model is opened: args are the
// positional arguments MODEL and TEXT.
func (f *textFlags) source(ctx context.Context, a *app, args []string) (c chat.Conversation, messages bool, err error) {
	if !f.chat.given.messages {
		s, err := f.readText(ctx, a, args)
		if err != nil {
			return c, false, err
		}
		c, err = f.chat.ofText(s)
		return c, false, err
	}
	var doc []byte
	if f.chat.messages == "-" {
		doc, err = readAll(ctx, a.stdin)
	} else {
		doc, err = os.ReadFile(f.chat.messages)
	}
	if err != nil {
		return c, true, fmt.Errorf("--messages: %w", err)
	}
	if c, err = f.chat.ofMessages(doc); err != nil && !strings.HasPrefix(err.Error(), "--") {
		err = fmt.Errorf("--messages %s: %w", f.chat.messages, err)
	}
	return c, true, err
}

// openPrompt reads the text or the conversation that a command is about, opens
// the model and makes the prompt, which must fit the model's context. One
// without any token is refused with the error empty, if that is not nil. args
// are the positional arguments. Whoever calls closes the engine.
func (a *app) openPrompt(ctx context.Context, args []string, text *textFlags, flags *engineFlags, empty error) (p *prompt, e *engine, err error) {
	c, messages, err := text.source(ctx, a, args)
	if err != nil {
		return nil, nil, err
	}
	if e, err = openEngine(args[0], flags); err != nil {
		return nil, nil, err
	}
	if p, err = text.prompter(a, e.model.File(), e.tok).prompt(ctx, c, messages); err == nil {
		switch {
		case len(p.Tokens) == 0 && empty != nil:
			err = empty
		default:
			err = e.checkContext(p.Tokens)
		}
	}
	if err != nil {
		e.close()
		return nil, nil, err
	}
	return p, e, nil
}
