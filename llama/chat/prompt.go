package chat

import (
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/token"
)

// A Prompt is a conversation as a model reads it.
type Prompt struct {
	// Format is the name of the format.
	Format string
	// Text is what the tokens stand for; their offsets are bytes of it. A BOS
	// that the template did not write is no part of it.
	Text string
	// Tokens of the text, BOS included.
	Tokens []token.Token
	// Roles says who speaks, for each token: that of the message whose content
	// the token holds a byte of, llama.RoleTemplate for tokens around contents,
	// and llama.RoleText for raw text. The prefill is the assistant's.
	Roles []llama.Role
	// Turns has an entry for each message, in order.
	Turns []Turn
	// Start is what lets the assistant begin to answer, empty where the
	// template writes nothing for that; nil where the conversation ends with the
	// assistant's message, or is raw text.
	Start *Span
	// Prefill is the beginning of the answer, nil for none.
	Prefill *Span
	// Dated says that the template asked for the date.
	Dated bool
}

// A Span is a part of a prompt.
type Span struct {
	// Start and End are bytes of the text, End not included.
	Start int `json:"start"`
	End   int `json:"end"`
	// From and Until are the tokens that hold any of the bytes, Until not
	// included.
	From  int `json:"from"`
	Until int `json:"until"`
}

// A Turn is a message in a prompt. Its span includes what the format writes
// around the content.
type Turn struct {
	Role string `json:"role"`
	Span
	// Content is where the message's content stands, from the first of its
	// bytes that the template wrote to the last. It is empty where the template
	// leaves the content out.
	Content Span `json:"content"`
}

// roleOf is the role of tokens of a message.
func roleOf(role string) llama.Role {
	switch role {
	case System:
		return llama.RoleSystem
	case User:
		return llama.RoleUser
	case Assistant:
		return llama.RoleAssistant
	case Text:
		return llama.RoleText
	}
	return llama.RoleTemplate
}

// finish makes tokens of a draft and finds the spans in them.
func (f *Format) finish(c Conversation, d *draft, o Options) *Prompt {
	p := &Prompt{Format: f.name, Dated: d.dated}
	end := d.text.Len()
	prefill := len(c.Messages) + 1
	if c.Prefill != "" {
		// The space before it is the answer's as well, where the format has one.
		if f.name == NameHumanAssistant {
			d.parts[len(d.parts)-1].Source = prefill
			end--
		}
		d.add(c.Prefill, prefill, 0)
	}
	p.Text = d.text.String()
	opt := token.EncodeOptions{BOS: token.Never, EOS: token.Never, Special: o.Special || f.template != nil}
	if !o.Special {
		for _, part := range d.parts {
			if part.Source != 0 {
				opt.Literal = append(opt.Literal, [2]int{part.Start, part.End})
			}
		}
	}
	p.Tokens = f.tok.Encode(p.Text, opt)
	if bos, ok := f.tok.BOS(); ok && f.tok.AddsBOS() && !o.NoBOS {
		if len(p.Tokens) == 0 || p.Tokens[0].ID != bos { // never doubled
			p.Tokens = slices.Insert(p.Tokens, 0, token.Token{ID: bos})
		}
	}

	p.Roles = make([]llama.Role, len(p.Tokens))
	if f.name != NameRaw {
		for i := range p.Roles {
			p.Roles[i] = llama.RoleTemplate
		}
	}
	// A token that holds bytes of two contents is of the first.
	for _, part := range slices.Backward(d.parts) {
		if part.Source == 0 {
			continue
		}
		role := llama.RoleAssistant
		if part.Source != prefill {
			role = roleOf(c.Messages[part.Source-1].Role)
		}
		s := p.span(part.Start, part.End)
		for i := s.From; i < s.Until; i++ {
			p.Roles[i] = role
		}
	}
	if d.answer >= 0 && f.answers(c) {
		// A special token is whole: two that begin alike may differ.
		if i := p.at(d.answer); i < len(p.Tokens) && p.Tokens[i].Start < d.answer && p.Roles[i] == llama.RoleTemplate {
			d.answer = p.Tokens[i].Start
		}
		s := p.span(d.answer, end)
		p.Start = &s
	}
	if c.Prefill != "" {
		s := p.span(end, len(p.Text))
		p.Prefill = &s
	}
	f.turns(p, c, d)
	return p
}

// turns finds where messages stand.
func (f *Format) turns(p *Prompt, c Conversation, d *draft) {
	n := len(c.Messages)
	type bounds struct{ start, end int }
	hull := func(b *bounds, start, end int) {
		if b.end == 0 && b.start == 0 {
			*b = bounds{start, end}
		}
		b.start, b.end = min(b.start, start), max(b.end, end)
	}
	turns, contents := make([]bounds, n), make([]bounds, n)
	last := len(p.Text)
	if p.Start != nil {
		last = p.Start.Start
	}
	// What is written outside of the loop over messages is of the message whose
	// content stands there.
	for i := 0; i < len(d.parts); {
		k := i
		for k < len(d.parts) && d.parts[k].Turn == 0 {
			k++
		}
		for j := i; j < k; j++ {
			owner := d.parts[j].Source
			for m := j; owner == 0 && m < k; m++ {
				owner = d.parts[m].Source
			}
			for m := j; owner == 0 && m >= i; m-- {
				owner = d.parts[m].Source
			}
			if f.name == NameHumanAssistant && d.parts[j].Source == 0 {
				owner = 0 // blank lines are of nobody
			}
			d.parts[j].Turn = owner
		}
		i = k + 1
	}
	for _, part := range d.parts {
		if s := part.Source; s > 0 && s <= n {
			hull(&contents[s-1], part.Start, part.End)
		}
		if t := part.Turn; t > 0 && t <= n && part.Start < last {
			hull(&turns[t-1], part.Start, min(part.End, last))
		}
	}
	for i, m := range c.Messages {
		t, content := turns[i], contents[i]
		if t.start == t.end { // it stands within another message's turn
			t = content
		}
		if f.template != nil && content.end > content.start {
			t.start = f.behindOthers(p, t.start, content.start)
		}
		p.Turns = append(p.Turns, Turn{Role: m.Role, Span: p.span(t.start, t.end), Content: p.span(content.start, content.end)})
	}
}

// behindOthers moves the start of a turn behind what a template writes there
// without being asked: BOS, and a system prompt of its own.
func (f *Format) behindOthers(p *Prompt, start, content int) int {
	at := start
	bos, hasBOS := f.tok.BOS()
	for i := p.at(start); i < len(p.Tokens) && p.Tokens[i].End <= content; i++ {
		t := p.Tokens[i]
		switch {
		case t.Start == 0 && hasBOS && t.ID == bos:
			at = max(at, t.End)
		case f.tok.IsEOG(t.ID) && f.tok.IsControl(t.ID):
			at = t.End
			at += len(p.Text[at:content]) - len(strings.TrimLeftFunc(p.Text[at:content], unicode.IsSpace))
		}
	}
	return at
}

// at is the first token that ends behind a byte.
func (p *Prompt) at(byte int) int {
	return sort.Search(len(p.Tokens), func(i int) bool { return p.Tokens[i].End > byte })
}

// span gives the tokens of some bytes.
func (p *Prompt) span(start, end int) Span {
	s := Span{Start: start, End: end, From: p.at(start)}
	s.Until = s.From
	for s.Until < len(p.Tokens) && p.Tokens[s.Until].Start < end && start < end {
		s.Until++
	}
	return s
}

// holding is the last token that holds a byte.
func (p *Prompt) holding(byte int) int {
	return sort.Search(len(p.Tokens), func(i int) bool { return p.Tokens[i].Start > byte }) - 1
}

// LeftOut gives the messages, counted from 0, whose content is not empty and
// which the template leaves out altogether.
func (p *Prompt) LeftOut(c Conversation) []int {
	var out []int
	for i, t := range p.Turns {
		if t.Content.Start == t.Content.End && strings.TrimSpace(c.Messages[i].Content) != "" {
			out = append(out, i)
		}
	}
	return out
}

// trimmedEnd is the end of the bytes start to end without white space.
func trimmedEnd(s string, start, end int) int {
	for end > start {
		r, n := utf8.DecodeLastRuneInString(s[start:end])
		if !unicode.IsSpace(r) {
			break
		}
		end -= n
	}
	return end
}
