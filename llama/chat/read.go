package chat

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/limbic-go/limbic/llama"
)

// A Reading says at which tokens of a prompt a single figure is read. The zero
// value reads nowhere in particular.
type Reading struct {
	kind string // last, user_end, assistant_start, span or mean
	arg  string // the text of a span, the role of a mean
}

// ParseReading reads the text form of a Reading:
//
//	last               the last token
//	user_end           the token with the last character of the last user message
//	                   that is not white space
//	assistant_start    the token whose state emits the first of the last answer
//	span:"TEXT"        all tokens that hold a byte of TEXT, which must stand in
//	                   the prompt once; the quotes may be left out
//	mean:ROLE          all tokens of contents of system, user or assistant
func ParseReading(s string) (Reading, error) {
	kind, arg, hasArg := strings.Cut(s, ":")
	switch kind {
	case "last", "user_end", "assistant_start":
		if !hasArg {
			return Reading{kind: kind}, nil
		}
	case "span":
		if len(arg) >= 2 && arg[0] == '"' && arg[len(arg)-1] == '"' {
			text, err := strconv.Unquote(arg)
			if err != nil {
				// Without escapes, as a shell passes it.
				text = arg[1 : len(arg)-1]
			}
			arg = text
		}
		if arg == "" {
			return Reading{}, errors.New("a span needs a text, as in span:\"the end\"")
		}
		return Reading{kind, arg}, nil
	case "mean":
		if arg == System || arg == User || arg == Assistant {
			return Reading{kind, arg}, nil
		}
		return Reading{}, fmt.Errorf("unknown role %q in %q (known: system, user, assistant)", arg, s)
	}
	return Reading{}, fmt.Errorf(`unknown reading %q (known: last, user_end, assistant_start, span:"TEXT", mean:ROLE)`, s)
}

// String is the text form.
func (r Reading) String() string {
	switch r.kind {
	case "span":
		return "span:" + strconv.Quote(r.arg)
	case "mean":
		return "mean:" + r.arg
	}
	return r.kind
}

// IsZero reports whether the reading says nothing.
func (r Reading) IsZero() bool { return r.kind == "" }

// Read gives the tokens that a reading means in the prompt, in order, at least
// one. It is an error where the prompt does not have what it means.
func (p *Prompt) Read(r Reading) ([]int, error) {
	fail := func(format string, args ...any) ([]int, error) {
		return nil, fmt.Errorf("%v: "+format, append([]any{r}, args...)...)
	}
	if len(p.Tokens) == 0 {
		return fail("there is no token")
	}
	turns := r.kind == "user_end" || r.kind == "assistant_start" || r.kind == "mean"
	if turns && p.Format == NameRaw {
		return fail("raw text has no turns; --chat, --messages or --format human-assistant make some")
	}
	switch r.kind {
	case "last":
		return []int{len(p.Tokens) - 1}, nil
	case "user_end":
		for i := len(p.Turns) - 1; i >= 0; i-- {
			t := p.Turns[i]
			if t.Role != User {
				continue
			}
			end := trimmedEnd(p.Text, t.Content.Start, t.Content.End)
			if end == t.Content.Start {
				return fail("the last user message, number %d from 0, is empty", i)
			}
			return []int{p.holding(end - 1)}, nil
		}
		return fail("the conversation has no user message")
	case "assistant_start":
		at := len(p.Text)
		switch {
		case p.Prefill != nil:
			at = p.Prefill.Start
		case p.Start == nil:
			found := false
			for _, t := range p.Turns {
				if t.Role == Assistant {
					at, found = t.Content.Start, true
				}
			}
			if !found {
				return fail("the assistant does not speak")
			}
			// A space before an answer comes with its first word.
			at = len(strings.TrimRight(p.Text[:at], " "))
		}
		if at == 0 {
			return fail("nothing stands before the assistant's answer")
		}
		return []int{p.holding(at - 1)}, nil
	case "span":
		switch n := strings.Count(p.Text, r.arg); n {
		case 0:
			return fail("the text is not in the prompt")
		case 1:
		default:
			return fail("the text is in the prompt %d times: give more of what is around it", n)
		}
		start := strings.Index(p.Text, r.arg)
		s := p.span(start, start+len(r.arg))
		var out []int
		for i := s.From; i < s.Until; i++ {
			out = append(out, i)
		}
		if out == nil {
			return fail("no token stands for the text")
		}
		return out, nil
	case "mean":
		want := map[string]llama.Role{System: llama.RoleSystem, User: llama.RoleUser, Assistant: llama.RoleAssistant}[r.arg]
		var out []int
		for i, role := range p.Roles {
			if role == want {
				out = append(out, i)
			}
		}
		if out == nil {
			return fail("the prompt has no token of that role")
		}
		return out, nil
	}
	return nil, errors.New("the reading says nothing")
}
