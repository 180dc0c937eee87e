package report

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Visible makes a text safe to show, on a page or in a terminal: control
// characters become their pictures (␛), and bytes that are not UTF-8 and
// characters that turn the order of a line around become <0xFF> and <U+202E>.
// Line feeds and tabs stay.
func Visible(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, "<0x%02X>", s[0])
		case r == '\n' || r == '\t':
			b.WriteRune(r)
		case r < 0x20:
			b.WriteRune(0x2400 + r)
		case r == 0x7f:
			b.WriteRune('␡')
		case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || unicode.In(r, unicode.Zl, unicode.Zp):
			fmt.Fprintf(&b, "<U+%04X>", r)
		default:
			b.WriteRune(r)
		}
		s = s[n:]
	}
	return b.String()
}

// A Piece is what a token contributes to the text as it is shown.
type Piece struct {
	// Text to show. A character whose bytes are spread over several tokens is
	// shown by the last of them. Not yet safe: see Visible.
	Text string
	// Special says that the token stands for no text, as BOS does: Text is
	// its name.
	Special bool
	// Partial says that the token ends within a character and shows nothing
	// of its own.
	Partial bool
}

// Pieces splits the text at its tokens: one piece for each. Where the text was
// not recorded, or does not fit the tokens' offsets, pieces are the tokens'
// names.
func (t *Tokens) Pieces() []Piece {
	pieces := make([]Piece, len(t.Tokens))
	text, ok := t.text()
	if !ok || !t.contiguous(len(text)) {
		for i, tok := range t.Tokens {
			pieces[i] = Piece{Text: tok.Text, Special: tok.Start == tok.End}
		}
		return pieces
	}
	shown := 0 // bytes of the text that earlier pieces show
	for i, tok := range t.Tokens {
		if tok.Start == tok.End {
			name := tok.Text
			if strings.TrimSpace(name) == "" {
				name = "␣" // a space that the tokenizer put before the text
			}
			pieces[i] = Piece{Text: name, Special: true}
			continue
		}
		end := tok.End
		if i < len(t.Tokens)-1 {
			end = wholeRunes(text[:tok.End])
		}
		if end <= shown {
			pieces[i] = Piece{Partial: true}
			continue
		}
		pieces[i] = Piece{Text: text[shown:end]}
		shown = end
	}
	return pieces
}

// text is the text that was scored, if the result has it.
func (t *Tokens) text() (string, bool) {
	switch {
	case t.Text != nil:
		return *t.Text, true
	case t.TextBase64 != nil:
		return string(t.TextBase64), true
	}
	return "", false
}

// contiguous reports whether the tokens cover a text of n bytes without gaps.
func (t *Tokens) contiguous(n int) bool {
	at := 0
	for _, tok := range t.Tokens {
		if tok.Start != at || tok.End < at {
			return false
		}
		at = tok.End
	}
	return at == n
}

// wholeRunes is the length of s without a character that is cut at its end.
func wholeRunes(s string) int {
	for n := 1; n < utf8.UTFMax && n <= len(s); n++ {
		if tail := s[len(s)-n:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRuneInString(tail) {
				return len(s) - n
			}
			break
		}
	}
	return len(s)
}
