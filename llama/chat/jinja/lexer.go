package jinja

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A kind is what a token is.
type kind uint8

const (
	kindEnd        kind = iota
	kindData            // text between tags
	kindBlockBegin      // {%
	kindBlockEnd
	kindVarBegin // {{
	kindVarEnd
	kindName
	kindString
	kindInt
	kindFloat
	kindOp
)

// An item is a token of a template.
type item struct {
	kind kind
	text string // of a string: its value
	line int
}

func (t item) String() string {
	switch t.kind {
	case kindEnd:
		return "the end of the template"
	case kindData:
		return "text"
	case kindString:
		return "a string"
	}
	return strconv.Quote(t.text)
}

// newlines are what Jinja2 takes for one.
var newlines = strings.NewReplacer("\r\n", "\n", "\r", "\n")

var (
	spaceToken = regexp.MustCompile(`^\s+`)
	floatToken = regexp.MustCompile(`^(\d+_)*\d+((\.(\d+_)*\d+)?[eE][+-]?(\d+_)*\d+|\.(\d+_)*\d+)`)
	intToken   = regexp.MustCompile(`^(0[bB](_?[01])+|0[oO](_?[0-7])+|0[xX](_?[0-9a-fA-F])+|[1-9](_?\d)*|0(_?0)*)`)
	nameToken  = regexp.MustCompile(`^[\p{L}_][\p{L}\p{Nd}_]*`)
	strToken   = regexp.MustCompile(`^('(?s:[^'\\]|\\.)*'|"(?s:[^"\\]|\\.)*")`)
	opToken    = regexp.MustCompile(`^(//|\*\*|==|!=|>=|<=|[-+/*%~\[\](){}<>=.:|,;])`)
	rawEnd     = regexp.MustCompile(`\{%([-+]?)\s*endraw\s*([-+]?)%\}`)
	rawBegin   = regexp.MustCompile(`^\{%[-+]?\s*raw\s*(-?)%\}`)
)

// lex cuts a template into tokens, with white space around tags taken away as
// the tags and trim_blocks and lstrip_blocks say.
func lex(source string) ([]item, error) {
	source = newlines.Replace(source)
	source = strings.TrimSuffix(source, "\n")
	l := &lexer{src: source, line: 1, atStart: true}
	for l.pos < len(l.src) {
		if err := l.data(); err != nil {
			return nil, err
		}
	}
	return append(l.items, item{kind: kindEnd, line: l.line}), nil
}

type lexer struct {
	src     string
	pos     int
	line    int
	atStart bool // what comes begins a line
	items   []item
}

func (l *lexer) errorf(format string, args ...any) error {
	return &Error{Line: l.line, Msg: fmt.Sprintf(format, args...)}
}

func (l *lexer) emit(k kind, text string) { l.items = append(l.items, item{k, text, l.line}) }

// advance goes on by n bytes.
func (l *lexer) advance(n int) {
	l.line += strings.Count(l.src[l.pos:l.pos+n], "\n")
	l.pos += n
	if n > 0 {
		l.atStart = l.src[l.pos-1] == '\n'
	}
}

// text emits data that is not empty.
func (l *lexer) text(s string) {
	if s != "" {
		l.emit(kindData, s)
	}
}

// data reads text up to a tag, and the tag.
func (l *lexer) data() error {
	rest := l.src[l.pos:]
	at := len(rest)
	open := ""
	for i := 0; i+1 < len(rest); i++ {
		if rest[i] == '{' && (rest[i+1] == '%' || rest[i+1] == '{' || rest[i+1] == '#') {
			at, open = i, rest[i:i+2]
			break
		}
	}
	text := rest[:at]
	if open == "" {
		l.text(text)
		l.advance(len(rest))
		return nil
	}
	sign := byte(0)
	if at+2 < len(rest) && (rest[at+2] == '-' || rest[at+2] == '+') {
		sign = rest[at+2]
	}
	switch {
	case sign == '-':
		text = strings.TrimRightFunc(text, isSpace)
	case sign != '+' && open != "{{":
		// lstrip_blocks: a tag that stands alone on its line so far.
		start := strings.LastIndexByte(text, '\n') + 1
		if (start > 0 || l.atStart) && strings.TrimFunc(text[start:], isSpace) == "" {
			text = text[:start]
		}
	}
	l.text(text)
	l.advance(at)
	rest = rest[at:]
	switch open {
	case "{#":
		return l.comment()
	case "{%":
		if m := rawBegin.FindStringSubmatchIndex(rest); m != nil {
			return l.raw(m[1], m[2] < m[3])
		}
	}
	n := 2
	if sign != 0 {
		n = 3
	}
	begin, end, close := kindBlockBegin, kindBlockEnd, "%}"
	if open == "{{" {
		begin, end, close = kindVarBegin, kindVarEnd, "}}"
	}
	l.emit(begin, open)
	l.advance(n)
	return l.expression(end, close)
}

// afterTag goes behind the end of a tag of n bytes, and over the white space
// that sign or trim_blocks takes.
func (l *lexer) afterTag(n int, strip, trim bool) {
	l.advance(n)
	rest := l.src[l.pos:]
	switch {
	case strip:
		l.advance(len(rest) - len(strings.TrimLeftFunc(rest, isSpace)))
	case trim && strings.HasPrefix(rest, "\n"):
		l.advance(1)
	}
}

func (l *lexer) comment() error {
	end := strings.Index(l.src[l.pos+2:], "#}")
	if end < 0 {
		return l.errorf("a comment is not closed: #} is missing")
	}
	end += 2
	sign := l.src[l.pos+end-1]
	if end == 2 {
		sign = 0 // {#}
	}
	l.afterTag(end+2, sign == '-', sign != '+')
	return nil
}

func (l *lexer) raw(n int, strip bool) error {
	l.afterTag(n, strip, false)
	m := rawEnd.FindStringSubmatchIndex(l.src[l.pos:])
	if m == nil {
		return l.errorf("{%% raw %%} is not closed: {%% endraw %%} is missing")
	}
	text := l.src[l.pos : l.pos+m[0]]
	sign := l.src[l.pos+m[2] : l.pos+m[3]]
	switch {
	case sign == "-":
		text = strings.TrimRightFunc(text, isSpace)
	case sign == "":
		start := strings.LastIndexByte(text, '\n') + 1
		if (start > 0 || l.atStart) && strings.TrimFunc(text[start:], isSpace) == "" {
			text = text[:start]
		}
	}
	after := l.src[l.pos+m[4] : l.pos+m[5]]
	l.text(text)
	l.afterTag(m[1], after == "-", after != "+")
	return nil
}

// expression reads the inside of a tag up to its end.
func (l *lexer) expression(end kind, close string) error {
	var open []byte // brackets
	begun := l.line
	for l.pos < len(l.src) {
		rest := l.src[l.pos:]
		if m := spaceToken.FindString(rest); m != "" {
			l.advance(len(m))
			continue
		}
		if len(open) == 0 {
			sign, mark := byte(0), rest
			if (rest[0] == '-' || rest[0] == '+' && end == kindBlockEnd) && strings.HasPrefix(rest[1:], close) {
				sign, mark = rest[0], rest[1:]
			}
			if strings.HasPrefix(mark, close) {
				l.emit(end, close)
				l.afterTag(len(rest)-len(mark)+2, sign == '-', sign != '+' && end == kindBlockEnd)
				return nil
			}
		}
		var text string
		switch {
		case floatToken.MatchString(rest) && !l.afterDot():
			text = floatToken.FindString(rest)
			l.emit(kindFloat, text)
		case intToken.MatchString(rest):
			text = intToken.FindString(rest)
			l.emit(kindInt, text)
		case nameToken.MatchString(rest):
			text = nameToken.FindString(rest)
			l.emit(kindName, text)
		case rest[0] == '\'' || rest[0] == '"':
			text = strToken.FindString(rest)
			if text == "" {
				return l.errorf("a string is not closed")
			}
			s, err := unescape(text[1 : len(text)-1])
			if err != nil {
				return l.errorf("%v", err)
			}
			l.emit(kindString, s)
		default:
			text = opToken.FindString(rest)
			if text == "" {
				r, _ := utf8.DecodeRuneInString(rest)
				return l.errorf("unexpected character %q", r)
			}
			switch text {
			case "(", "[", "{":
				open = append(open, map[string]byte{"(": ')', "[": ']', "{": '}'}[text])
				if len(open) > maxDepth {
					return l.errorf("brackets are nested more than %d deep", maxDepth)
				}
			case ")", "]", "}":
				if len(open) == 0 || open[len(open)-1] != text[0] {
					return l.errorf("unexpected %q", text)
				}
				open = open[:len(open)-1]
			}
			l.emit(kindOp, text)
		}
		l.advance(len(text))
	}
	return &Error{Line: begun, Msg: fmt.Sprintf("a tag is not closed: %s is missing", close)}
}

// afterDot reports whether the token before is a dot: then what looks like a
// float is an index.
func (l *lexer) afterDot() bool {
	n := len(l.items)
	return n > 0 && l.items[n-1].kind == kindOp && l.items[n-1].text == "."
}

// unescape reads the escapes of a string literal as Python does.
func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		simple := map[byte]string{
			'\n': "", '\\': `\`, '\'': "'", '"': `"`, 'a': "\a", 'b': "\b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t", 'v': "\v",
		}
		c := s[i]
		if t, ok := simple[c]; ok {
			b.WriteString(t)
			continue
		}
		digits, base := 0, 16
		switch {
		case c == 'x':
			digits = 2
		case c == 'u':
			digits = 4
		case c == 'U':
			digits = 8
		case c >= '0' && c <= '7':
			base = 8
			for digits < 3 && i+digits < len(s) && s[i+digits] >= '0' && s[i+digits] <= '7' {
				digits++
			}
			i--
		default:
			b.WriteString(`\` + string(c))
			continue
		}
		if i+1+digits > len(s) {
			return "", fmt.Errorf(`the escape \%c in a string is cut short`, c)
		}
		n, err := strconv.ParseUint(s[i+1:i+1+digits], base, 32)
		if err != nil || n > utf8.MaxRune {
			return "", fmt.Errorf(`the escape \%c%s in a string is not a character`, c, s[i+1:i+1+digits])
		}
		b.WriteRune(rune(n))
		i += digits
	}
	return b.String(), nil
}
