package token

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// The token types of a GGUF file (key tokenizer.ggml.token_type).
const (
	TypeUndefined   int32 = 0 // treated as normal
	TypeNormal      int32 = 1
	TypeUnknown     int32 = 2 // stands for what the vocabulary can't spell
	TypeControl     int32 = 3 // steers the model; is not text
	TypeUserDefined int32 = 4 // text that is always one token
	TypeUnused      int32 = 5
	TypeByte        int32 = 6 // one byte, written <0xXX>
)

// Limits on what a vocabulary may hold. They are far above what any model
// uses, and keep a hostile file from asking for absurd amounts of memory.
const (
	maxTokens    = 1 << 22
	maxMerges    = 1 << 23
	maxTokenLen  = 1 << 16
	maxVocabSize = 1 << 30 // bytes of all token texts together
)

// Vocab is what a model file says about its tokenizer. Fields are named after
// the keys tokenizer.ggml.* of a GGUF file. The zero value of an id is a valid
// id: ids that the file doesn't have must be -1, as in [NoIDs].
type Vocab struct {
	Model  string    // "llama" (SentencePiece-style) or "gpt2" (byte-level BPE)
	Pre    string    // the name of the splitter, for "gpt2": see Splitters
	Tokens []string  // text of each token, by id
	Scores []float32 // score of each token; needed for "llama"
	Types  []int32   // type of each token; when empty they are inferred
	Merges []string  // "left right" in order of rank; needed for "gpt2"

	BOS, EOS int32 // beginning and end of sequence
	EOT, EOM int32 // end of turn, end of message
	UNK, PAD int32 // unknown, padding

	// What Encode adds by default; nil where the file says nothing. Then
	// "llama" vocabularies and those with the llama-bpe splitter add BOS, and
	// only "llama" vocabularies add a prefix space ("gpt2" never does).
	AddBOS, AddEOS, AddSpacePrefix *bool

	// Prefix says where a "llama" vocabulary that adds a prefix space adds it.
	Prefix PrefixScheme
	// TrimSpaces makes one space of several, and none at the ends of the text,
	// in a "llama" vocabulary.
	TrimSpaces bool
	// NFC composes characters (Unicode's normal form C) before anything is
	// tokenized but the tokens that the text spells as such.
	NFC bool
	// WholeWords says whether a word that is a token of a "gpt2" vocabulary is
	// that token, whatever the merges say; nil where the splitter decides.
	WholeWords *bool

	// Ids of control, unknown and user-defined tokens that take the white space
	// before or after them, where they are found in a text, and that are found
	// only where no letter, digit or underscore stands beside them.
	LStrip, RStrip, SingleWord []int32
	// EOG are ids that end generation besides EOS, EOT and EOM.
	EOG []int32
}

// A PrefixScheme says before what a prefix space is added.
type PrefixScheme string

// The schemes.
const (
	PrefixEach    PrefixScheme = ""        // every stretch of text between control and user-defined tokens
	PrefixFirst   PrefixScheme = "first"   // the whole text, if it begins with another character than a space
	PrefixMissing PrefixScheme = "missing" // every stretch that begins with another character than a space
)

// NoIDs is a Vocab without special ids, to start a literal from.
func NoIDs() Vocab {
	return Vocab{BOS: -1, EOS: -1, EOT: -1, EOM: -1, UNK: -1, PAD: -1}
}

// Tokenizer encodes text to tokens and decodes tokens to text. It doesn't
// change after New and is safe for concurrent use.
type Tokenizer struct {
	model string
	pre   string // canonical name of the splitter, "" for SentencePiece

	texts  []string // as the vocabulary spells them
	types  []int32
	ids    map[string]int32 // by text
	blob   []byte           // the pieces of all tokens, end to end
	pieces []uint32         // token i is blob[pieces[i]:pieces[i+1]]

	bos, eos, eot, eom, unk, pad int32
	addBOS, addEOS, addPrefix    bool
	prefix                       PrefixScheme
	trim, nfc                    bool
	edges                        map[int32]edge // of tokens that look beside themselves; none in most vocabularies

	eog      map[int32]bool
	split    []bool // by id: Encode may cut this token out of the text as such
	user     matcher
	specials matcher

	byteIDs  [256]int32 // the token that spells one byte, -1 where there is none
	lossless bool
	spm      *spmModel
	bpe      *bpeModel
	hash     string
}

// An edge is what a token found in a text does to what is beside it.
type edge uint8

const (
	stripLeft edge = 1 << iota
	stripRight
	singleWord
)

// New checks a vocabulary and prepares a tokenizer from it. It keeps the
// strings of v but not its slices. The vocabulary isn't trusted: whatever is
// wrong with it is an error.
func New(v Vocab) (*Tokenizer, error) {
	t, err := build(v)
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	return t, nil
}

// build is New, with errors that don't say yet where the vocabulary is from.
func build(v Vocab) (*Tokenizer, error) {
	t := &Tokenizer{
		model: v.Model,
		texts: slices.Clone(v.Tokens),
		bos:   v.BOS, eos: v.EOS, eot: v.EOT, eom: v.EOM, unk: v.UNK, pad: v.PAD,
	}
	if err := t.check(&v); err != nil {
		return nil, err
	}
	if err := t.index(); err != nil {
		return nil, err
	}
	t.markEOG(v.EOG)
	t.setEdges(&v)
	t.setPieces()
	t.nfc = v.NFC

	var mayAddBOS bool
	switch v.Model {
	case "llama":
		mayAddBOS = true
		t.addPrefix = orDefault(v.AddSpacePrefix, true)
		t.prefix = v.Prefix
		t.trim = v.TrimSpaces
		t.setByteTokens()
		t.spm = newSPM(t, v.Scores)
	case "gpt2":
		s, ok := splitterByName(v.Pre)
		if !ok {
			return nil, fmt.Errorf("unknown pre-tokenizer %q; supported are %s", clip(v.Pre), strings.Join(Splitters(), ", "))
		}
		mayAddBOS = s.addBOS
		t.pre = s.name
		s.wholeWords = orDefault(v.WholeWords, s.wholeWords)
		var err error
		if t.bpe, err = newBPE(t, s, v.Merges); err != nil {
			return nil, err
		}
	}
	t.lossless = !slices.Contains(t.byteIDs[:], -1) && !t.nfc && !t.trim && (!t.addPrefix || t.prefix == PrefixEach)

	t.addBOS = orDefault(v.AddBOS, mayAddBOS && t.bos >= 0)
	t.addEOS = orDefault(v.AddEOS, false)
	if t.addBOS && t.bos < 0 {
		return nil, errors.New("vocabulary asks for a beginning-of-sequence token but names none")
	}
	if t.addEOS && t.eos < 0 {
		return nil, errors.New("vocabulary asks for an end-of-sequence token but names none")
	}
	for id, e := range t.edges {
		if e&(stripLeft|stripRight) != 0 && !t.hidden(id) {
			t.lossless = false
		}
	}
	t.setMatchers()
	t.hash = t.sum(&v)
	return t, nil
}

func orDefault(b *bool, def bool) bool {
	if b == nil {
		return def
	}
	return *b
}

// clip shortens text from a file for an error message.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// check finds faults that need no index: sizes, ids and types.
func (t *Tokenizer) check(v *Vocab) error {
	n := len(v.Tokens)
	switch {
	case v.Model != "llama" && v.Model != "gpt2":
		return fmt.Errorf("unknown tokenizer model %q; supported are gpt2, llama", clip(v.Model))
	case n == 0:
		return errors.New("vocabulary has no tokens")
	case n > maxTokens:
		return fmt.Errorf("vocabulary has %d tokens, more than %d", n, maxTokens)
	case len(v.Merges) > maxMerges:
		return fmt.Errorf("vocabulary has %d merges, more than %d", len(v.Merges), maxMerges)
	case v.Model == "llama" && len(v.Scores) == 0:
		return errors.New("vocabulary of model llama has no scores")
	case len(v.Scores) != 0 && len(v.Scores) != n:
		return fmt.Errorf("vocabulary has %d tokens but %d scores", n, len(v.Scores))
	case len(v.Types) != 0 && len(v.Types) != n:
		return fmt.Errorf("vocabulary has %d tokens but %d token types", n, len(v.Types))
	case v.Model == "gpt2" && len(v.Merges) == 0:
		return errors.New("vocabulary of model gpt2 has no merges")
	}
	total := 0
	for id, text := range v.Tokens {
		if len(text) > maxTokenLen {
			return fmt.Errorf("token %d is %d bytes long, more than %d", id, len(text), maxTokenLen)
		}
		if total += len(text); total > maxVocabSize {
			return fmt.Errorf("tokens hold more than %d bytes of text", maxVocabSize)
		}
	}
	for id, s := range v.Scores {
		if math.IsNaN(float64(s)) {
			return fmt.Errorf("score of token %d is not a number", id)
		}
	}
	for _, x := range []struct {
		name string
		id   int32
	}{
		{"beginning-of-sequence", v.BOS}, {"end-of-sequence", v.EOS}, {"end-of-turn", v.EOT},
		{"end-of-message", v.EOM}, {"unknown", v.UNK}, {"padding", v.PAD},
	} {
		if x.id < -1 || int(x.id) >= n {
			return fmt.Errorf("%s token id %d is outside the vocabulary of %d tokens", x.name, x.id, n)
		}
	}
	for _, x := range []struct {
		name string
		ids  []int32
	}{{"stripping left", v.LStrip}, {"stripping right", v.RStrip}, {"single-word", v.SingleWord}, {"end-of-generation", v.EOG}} {
		for _, id := range x.ids {
			if id < 0 || int(id) >= n {
				return fmt.Errorf("%s token id %d is outside the vocabulary of %d tokens", x.name, id, n)
			}
		}
	}
	if v.Prefix != PrefixEach && v.Prefix != PrefixFirst && v.Prefix != PrefixMissing {
		return fmt.Errorf("unknown prefix scheme %q", clip(string(v.Prefix)))
	}
	if v.NFC && v.TrimSpaces {
		return errors.New("vocabulary asks for normal form C and for spaces to be trimmed, which is not supported together")
	}
	return t.setTypes(v)
}

// setTypes takes over the types of the tokens, or infers them where the file
// has none: without types, nothing would tell <s> from text.
func (t *Tokenizer) setTypes(v *Vocab) error {
	if len(v.Types) != 0 {
		t.types = slices.Clone(v.Types)
		for id, typ := range t.types {
			switch {
			case typ < TypeUndefined || typ > TypeByte:
				return fmt.Errorf("token %d has type %d, which is not a token type", id, typ)
			case typ == TypeUndefined:
				t.types[id] = TypeNormal
			case typ == TypeByte:
				if _, ok := parseByte(v.Tokens[id]); !ok {
					return fmt.Errorf("token %d %q has type byte but is not written <0xXX>", id, clip(v.Tokens[id]))
				}
			}
		}
		return nil
	}
	t.types = make([]int32, len(v.Tokens))
	for id, text := range v.Tokens {
		t.types[id] = TypeNormal
		if _, ok := parseByte(text); ok && v.Model == "llama" {
			t.types[id] = TypeByte
		}
	}
	for _, id := range []int32{v.BOS, v.EOS, v.EOT, v.EOM, v.PAD} {
		if id >= 0 {
			t.types[id] = TypeControl
		}
	}
	if v.UNK >= 0 {
		t.types[v.UNK] = TypeUnknown
	}
	return nil
}

// parseByte reads a byte token's text, such as <0x0A>.
func parseByte(s string) (byte, bool) {
	if len(s) != 6 || s[:3] != "<0x" || s[5] != '>' {
		return 0, false
	}
	hi, ok1 := hexDigit(s[3])
	lo, ok2 := hexDigit(s[4])
	return hi<<4 | lo, ok1 && ok2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// index builds the map from text to id. Tokens without text occur in real
// files as filling; they can't be looked up and are never produced.
func (t *Tokenizer) index() error {
	t.ids = make(map[string]int32, len(t.texts))
	for id, text := range t.texts {
		if text == "" {
			continue
		}
		if first, ok := t.ids[text]; ok {
			return fmt.Errorf("tokens %d and %d are both %q", first, id, clip(text))
		}
		t.ids[text] = int32(id)
	}
	return nil
}

// endTexts are texts that end a turn or a text in widely used vocabularies.
// Files often name only one of the ids that a model ends with, so the others
// are known by their text.
var endTexts = []string{
	"<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>", "<|endoftext|>", "<|end_of_text|>",
	"<|return|>", "<|call|>", "<end_of_turn>", "<end_of_utterance>", "<EOT>", "[EOT]", "[EOS]",
	"<eos>", "</s>", "<｜end▁of▁sentence｜>",
}

func (t *Tokenizer) setEdges(v *Vocab) {
	for _, x := range []struct {
		ids []int32
		e   edge
	}{{v.LStrip, stripLeft}, {v.RStrip, stripRight}, {v.SingleWord, singleWord}} {
		for _, id := range x.ids {
			if t.edges == nil {
				t.edges = make(map[int32]edge)
			}
			t.edges[id] |= x.e
		}
	}
}

func (t *Tokenizer) markEOG(more []int32) {
	t.eog = make(map[int32]bool)
	for _, id := range more {
		t.eog[id] = true
	}
	for _, id := range []int32{t.eos, t.eot, t.eom} {
		if id >= 0 {
			t.eog[id] = true
		}
	}
	for _, text := range endTexts {
		if id, ok := t.ids[text]; ok && t.types[id] == TypeControl {
			t.eog[id] = true
		}
	}
}

// space is how SentencePiece spells a space.
const space = "▁"

// setPieces computes the bytes that each token stands for in a text. Tokens
// that are not text (control, unknown) keep their name, which Piece hides.
func (t *Tokenizer) setPieces() {
	t.pieces = make([]uint32, 1, len(t.texts)+1)
	for id, text := range t.texts {
		switch typ := t.types[id]; {
		case typ == TypeControl || typ == TypeUnknown:
			t.blob = append(t.blob, text...)
		case typ == TypeByte:
			b, _ := parseByte(text)
			t.blob = append(t.blob, b)
		case t.model == "llama":
			t.blob = append(t.blob, strings.ReplaceAll(text, space, " ")...)
		case typ == TypeUserDefined:
			t.blob = append(t.blob, text...)
		default:
			var ok bool
			if t.blob, ok = appendBytesOf(t.blob, text); !ok {
				// Not written in the byte alphabet: no text can produce it, and
				// its own spelling is the best that can be shown for it.
				t.blob = append(t.blob, text...)
			}
		}
		t.pieces = append(t.pieces, uint32(len(t.blob)))
	}
}

// setByteTokens fills byteIDs from tokens of type byte. Of several spellings of
// one byte (<0x0a>, <0x0A>) the first counts.
func (t *Tokenizer) setByteTokens() {
	for b := range t.byteIDs {
		t.byteIDs[b] = -1
	}
	for id, typ := range t.types {
		if typ == TypeByte {
			if b, _ := parseByte(t.texts[id]); t.byteIDs[b] < 0 {
				t.byteIDs[b] = int32(id)
			}
		}
	}
}

// setMatchers collects the tokens that are cut out of the text before it is
// tokenized: user-defined ones always, control and unknown ones on request.
func (t *Tokenizer) setMatchers() {
	t.split = make([]bool, len(t.texts))
	var user, all []int32
	for id, typ := range t.types {
		text := t.texts[id]
		switch {
		case text == "":
		case typ == TypeControl || typ == TypeUnknown:
			t.split[id] = true
			all = append(all, int32(id))
		case typ == TypeUserDefined:
			// In a SentencePiece vocabulary ▁ is a space, so a user-defined token
			// with a ▁ doesn't stand for the text it is written with. It takes
			// part in merging instead.
			if t.model == "llama" && strings.Contains(text, space) {
				continue
			}
			t.split[id] = true
			user = append(user, int32(id))
			all = append(all, int32(id))
		}
	}
	t.user = newMatcher(t.texts, user)
	t.specials = newMatcher(t.texts, all)
}

// raw gives the bytes of a token, whatever its type.
func (t *Tokenizer) raw(id int32) []byte {
	from, to := t.pieces[id], t.pieces[id+1]
	return t.blob[from:to:to]
}

func (t *Tokenizer) valid(id int32) bool { return id >= 0 && int(id) < len(t.texts) }

// hidden reports whether a token is no part of the text it appears in.
func (t *Tokenizer) hidden(id int32) bool {
	return t.types[id] == TypeControl || t.types[id] == TypeUnknown
}

// Piece gives the bytes that a token adds to a text: for streaming. They may
// be part of a UTF-8 character. Control and unknown tokens and ids outside the
// vocabulary give none; [Tokenizer.Text] names them. Unlike Decode, Piece
// doesn't know what came before and leaves the prefix space of a
// SentencePiece vocabulary in. The bytes must not be modified.
func (t *Tokenizer) Piece(id int32) []byte {
	if !t.valid(id) || t.hidden(id) {
		return nil
	}
	return t.raw(id)
}

// Text gives a token's name for people: its text, with bytes that are not
// valid UTF-8 written <0xXX>. Control and unknown tokens are named as in the
// vocabulary. An id outside the vocabulary has the name "".
func (t *Tokenizer) Text(id int32) string {
	if !t.valid(id) {
		return ""
	}
	raw := t.raw(id)
	if utf8.Valid(raw) {
		return string(raw)
	}
	var b strings.Builder
	for len(raw) > 0 {
		r, n := utf8.DecodeRune(raw)
		if r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&b, "<0x%02X>", raw[0])
		} else {
			b.Write(raw[:n])
		}
		raw = raw[n:]
	}
	return b.String()
}

// Decode gives the text that tokens stand for, without control and unknown
// tokens and without the prefix spaces that Encode adds. Ids outside the
// vocabulary are skipped.
func (t *Tokenizer) Decode(ids []int32) []byte { return t.decode(ids, false) }

// DecodeSpecial is Decode with control and unknown tokens written by name.
func (t *Tokenizer) DecodeSpecial(ids []int32) []byte { return t.decode(ids, true) }

func (t *Tokenizer) decode(ids []int32, special bool) []byte {
	var out []byte
	strip := t.addPrefix // a prefix space may follow
	for _, id := range ids {
		if !t.valid(id) {
			continue
		}
		raw := t.raw(id)
		if t.split[id] {
			if special || !t.hidden(id) {
				out = append(out, raw...)
			}
			strip = t.addPrefix && (t.prefix != PrefixFirst || len(out) == 0)
			continue
		}
		if strip {
			raw = bytes.TrimPrefix(raw, []byte{' '})
			strip = false
		}
		out = append(out, raw...)
	}
	return out
}

// IDs gives the ids of tokens, as Decode and models take them.
func IDs(tokens []Token) []int32 {
	ids := make([]int32, len(tokens))
	for i, tok := range tokens {
		ids[i] = tok.ID
	}
	return ids
}

// IsControl reports whether a token is of type control: it steers the model
// and is no part of the text.
func (t *Tokenizer) IsControl(id int32) bool { return t.valid(id) && t.types[id] == TypeControl }

// IsEOG reports whether a token ends generation: the end of a text, of a turn
// or of a message, by the ids that the file names or as a control token with a
// well-known text such as <|eot_id|> or <|im_end|>.
func (t *Tokenizer) IsEOG(id int32) bool { return t.eog[id] }

// Type gives the type of a token, and TypeUndefined for an id outside the
// vocabulary.
func (t *Tokenizer) Type(id int32) int32 {
	if !t.valid(id) {
		return TypeUndefined
	}
	return t.types[id]
}

// Lookup finds a token by its text as the vocabulary spells it, such as
// "<|im_end|>" or "▁the".
func (t *Tokenizer) Lookup(text string) (id int32, ok bool) {
	id, ok = t.ids[text]
	return id, ok
}

// Size is the number of tokens in the vocabulary.
func (t *Tokenizer) Size() int { return len(t.texts) }

// Model is the kind of the vocabulary, "llama" or "gpt2".
func (t *Tokenizer) Model() string { return t.model }

// Pre is the name of the splitter in use, the first of its names in the order
// of [Splitters]; it is "" for a SentencePiece vocabulary, which needs none.
func (t *Tokenizer) Pre() string { return t.pre }

// BOS gives the beginning-of-sequence token, if the vocabulary has one.
func (t *Tokenizer) BOS() (id int32, ok bool) { return t.bos, t.bos >= 0 }

// EOS gives the end-of-sequence token, if the vocabulary has one.
func (t *Tokenizer) EOS() (id int32, ok bool) { return t.eos, t.eos >= 0 }

// EOT gives the end-of-turn token, if the file names one.
func (t *Tokenizer) EOT() (id int32, ok bool) { return t.eot, t.eot >= 0 }

// EOM gives the end-of-message token, if the file names one.
func (t *Tokenizer) EOM() (id int32, ok bool) { return t.eom, t.eom >= 0 }

// UNK gives the token for what can't be spelled, if the vocabulary has one.
func (t *Tokenizer) UNK() (id int32, ok bool) { return t.unk, t.unk >= 0 }

// PAD gives the padding token, if the vocabulary has one.
func (t *Tokenizer) PAD() (id int32, ok bool) { return t.pad, t.pad >= 0 }

// AddsBOS reports whether Encode begins with BOS unless told otherwise.
func (t *Tokenizer) AddsBOS() bool { return t.addBOS }

// AddsEOS reports whether Encode ends with EOS unless told otherwise.
func (t *Tokenizer) AddsEOS() bool { return t.addEOS }

// AddsSpacePrefix reports whether Encode puts a space before the text.
func (t *Tokenizer) AddsSpacePrefix() bool { return t.addPrefix }

// Lossless reports whether Decode gives exactly what Encode was given: the
// vocabulary can spell every byte, and nothing is normalized away.
func (t *Tokenizer) Lossless() bool { return t.lossless }

// Hash identifies the tokenizer: SHA-256, in hexadecimal, over everything that
// determines how it encodes and decodes.
func (t *Tokenizer) Hash() string { return t.hash }
