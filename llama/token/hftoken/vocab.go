package hftoken

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/limbic-go/limbic/llama/token"
)

// space is how SentencePiece spells a space.
const space = "▁"

// Vocab gives the vocabulary. Errors name the file. Ids that no token has are
// filled with tokens that no text gives.
//
// Whether Encode adds BOS and EOS is what tokenizer_config.json says, else what
// the post-processor of tokenizer.json says, else what the class of the tokenizer
// does by itself. EOS is the eos_token; further ids of eos_token_id in
// generation_config.json end generation too, the first of them as EOT.
func (f Files) Vocab() (token.Vocab, error) {
	fail := func(err error) (token.Vocab, error) {
		return token.Vocab{}, fmt.Errorf("hftoken: %s: %w", tokenizerFile, err)
	}
	if len(f.Tokenizer) > maxTokenizer {
		return fail(fmt.Errorf("more than %d bytes", maxTokenizer))
	}
	if typ, err := modelType(f.Tokenizer); err != nil {
		return token.Vocab{}, err
	} else if typ != "BPE" {
		return fail(fmt.Errorf("tokenizer model %.64q is not supported; BPE is", typ))
	}
	var d document
	if err := decode(tokenizerFile, f.Tokenizer, &d); err != nil {
		return token.Vocab{}, err
	}
	if d.Model.Prefix != "" || d.Model.Suffix != "" {
		return fail(fmt.Errorf("subword prefix %.64q and suffix %.64q are not supported", d.Model.Prefix, d.Model.Suffix))
	}
	v := token.NoIDs()
	if err := d.tokens(&v); err != nil {
		return fail(err)
	}
	norm, err := flatten(d.Normalizer.component, 0)
	if err != nil {
		return fail(err)
	}
	pre, err := flatten(d.PreTokenizer.component, 0)
	if err != nil {
		return fail(err)
	}
	if slices.ContainsFunc(pre, func(c *component) bool { return c.Type == "ByteLevel" }) {
		err = d.byteLevel(&v, norm, pre)
	} else {
		err = d.sentencePiece(&v, norm, pre)
	}
	if err != nil {
		return fail(err)
	}
	if err := f.roles(&v, &d); err != nil {
		return token.Vocab{}, err
	}
	return v, nil
}

// tokens sets texts and types by id.
func (d *document) tokens(v *token.Vocab) error {
	count := len(d.Model.Vocab) + len(d.Added)
	if count == 0 {
		return errors.New("there are no tokens")
	}
	most := 2*count + 1024 // ids without a token are few
	size := 0
	see := func(text string, id int32) error {
		if id < 0 || int(id) >= most {
			return fmt.Errorf("token %.64q has id %d among %d tokens", text, id, count)
		}
		size = max(size, int(id)+1)
		return nil
	}
	for text, id := range d.Model.Vocab {
		if err := see(text, id); err != nil {
			return err
		}
	}
	for _, a := range d.Added {
		if err := see(a.Content, a.ID); err != nil {
			return err
		}
	}
	v.Tokens = make([]string, size)
	v.Types = make([]int32, size)
	set := func(text string, id, typ int32) error {
		if v.Types[id] != token.TypeUndefined && v.Tokens[id] != text {
			a, b := min(v.Tokens[id], text), max(v.Tokens[id], text)
			return fmt.Errorf("id %d is that of %.64q and of %.64q", id, a, b)
		}
		v.Tokens[id], v.Types[id] = text, typ
		return nil
	}
	for text, id := range d.Model.Vocab {
		if err := set(text, id, token.TypeNormal); err != nil {
			return err
		}
	}
	for _, a := range d.Added {
		typ := token.TypeUserDefined
		if a.Special {
			typ = token.TypeControl
		}
		if err := set(a.Content, a.ID, typ); err != nil {
			return err
		}
		for _, x := range []struct {
			on  bool
			ids *[]int32
		}{{a.LStrip, &v.LStrip}, {a.RStrip, &v.RStrip}, {a.SingleWord, &v.SingleWord}} {
			if x.on {
				*x.ids = append(*x.ids, a.ID)
			}
		}
	}
	for _, ids := range []*[]int32{&v.LStrip, &v.RStrip, &v.SingleWord} {
		slices.Sort(*ids)
		*ids = slices.Compact(*ids)
	}
	for id, typ := range v.Types {
		if typ == token.TypeUndefined {
			v.Tokens[id], v.Types[id] = fmt.Sprintf("[PAD%d]", id), token.TypeUnused
		}
	}
	return nil
}

// byteLevel sets what a "gpt2" vocabulary has.
func (d *document) byteLevel(v *token.Vocab, norm, pre []*component) error {
	v.Model = "gpt2"
	for _, c := range norm {
		if c.Type != "NFC" {
			return fmt.Errorf("normalizer %.64q is not supported with byte-level BPE", c.Type)
		}
		v.NFC = true
	}
	var stages []string
	for _, c := range pre {
		switch c.Type {
		case "ByteLevel":
			if isTrue(c.AddPrefixSpace, true) {
				return errors.New("add_prefix_space of the pre-tokenizer ByteLevel is not supported")
			}
			if isTrue(c.UseRegex, true) {
				stages = append(stages, `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`)
			}
		case "Digits":
			stages = append(stages, map[bool]string{true: `\p{N}`, false: `\p{N}+`}[c.Individual])
		case "Punctuation":
			if c.Behavior != "Contiguous" {
				return fmt.Errorf("pre-tokenizer Punctuation with behavior %.64q is not supported", c.Behavior)
			}
			stages = append(stages, "[\\p{P}$+<=>^`|~]+")
		case "Split":
			// Matches apart, or the text between matches removed that match all
			// of it: the same.
			if c.Pattern == nil || !(c.Behavior == "Isolated" && !c.Invert || c.Behavior == "Removed" && c.Invert) {
				return fmt.Errorf("pre-tokenizer Split with behavior %.64q (invert %v) is not supported", c.Behavior, c.Invert)
			}
			if c.Pattern.Regex != nil {
				stages = append(stages, *c.Pattern.Regex)
			} else {
				stages = append(stages, regexp.QuoteMeta(c.literal()))
			}
		default:
			return fmt.Errorf("pre-tokenizer %.64q is not supported", c.Type)
		}
	}
	if len(stages) > maxExpressions {
		return fmt.Errorf("no known splitter has %d regular expressions", len(stages))
	}
	name, whole, ok := token.SplitterOf(stages, d.Model.IgnoreMerges)
	if !ok {
		return fmt.Errorf("no known splitter has the regular expressions %.2000q; known are %s", stages, strings.Join(token.Splitters(), ", "))
	}
	v.Pre = name
	if whole != d.Model.IgnoreMerges {
		v.WholeWords = &d.Model.IgnoreMerges
	}
	v.Merges = make([]string, len(d.Model.Merges))
	for i, m := range d.Model.Merges {
		v.Merges[i] = m[0] + " " + m[1]
	}
	return nil
}

// maxExpressions is how many a message shows.
const maxExpressions = 32

// sentencePiece sets what a "llama" vocabulary has.
func (d *document) sentencePiece(v *token.Vocab, norm, pre []*component) error {
	v.Model = "llama"
	prefix, spaced := false, false
	for _, c := range norm {
		switch {
		case c.Type == "Prepend" && c.Prepend == space:
			prefix = true
		case c.Type == "Replace" && c.literal() == " " && c.Content == space:
			spaced = true
		default:
			return fmt.Errorf("normalizer %.64q is not supported with SentencePiece-style BPE", c.Type)
		}
	}
	for _, c := range pre {
		switch {
		case c.Type == "Split" && c.literal() == " " && spaced:
			// There are no spaces left to split at.
		case c.Type == "Metaspace" && c.Replacement == space && !spaced && !prefix:
			spaced = true
			scheme := c.PrependScheme
			if scheme == "" {
				scheme = map[bool]string{true: "always", false: "never"}[isTrue(c.AddPrefixSpace, true)]
			}
			switch scheme {
			case "always":
				prefix, v.Prefix = true, token.PrefixMissing
			case "first":
				prefix, v.Prefix = true, token.PrefixFirst
			case "never":
			default:
				return fmt.Errorf("pre-tokenizer Metaspace with prepend_scheme %.64q is not supported", scheme)
			}
			if isTrue(c.Split, true) {
				for text := range d.Model.Vocab {
					if strings.LastIndex(text, space) > 0 {
						return fmt.Errorf("pre-tokenizer Metaspace splits at spaces, but token %.64q spans one", text)
					}
				}
			}
		default:
			return fmt.Errorf("pre-tokenizer %.64q is not supported with SentencePiece-style BPE", c.Type)
		}
	}
	if !spaced {
		return errors.New("neither byte-level BPE nor SentencePiece-style BPE: no ByteLevel, and nothing writes a space as ▁")
	}
	if d.Model.IgnoreMerges {
		return errors.New("ignore_merges is not supported with SentencePiece-style BPE")
	}
	v.AddSpacePrefix = &prefix

	if id, ok := d.Model.Vocab[d.Model.Unknown]; ok && d.Model.Unknown != "" {
		v.UNK = id
		v.Types[id] = token.TypeUnknown
	}
	for id, text := range v.Tokens {
		if d.Model.ByteFallback && isByte(text) && v.Types[id] != token.TypeUserDefined {
			v.Types[id] = token.TypeByte
		}
	}
	return d.scores(v)
}

func isByte(s string) bool {
	return len(s) == 6 && s[:3] == "<0x" && s[5] == '>' && strings.Trim(s[3:5], "0123456789ABCDEFabcdef") == ""
}

// scores makes scores of the ranks of merges. SentencePiece merges two tokens
// whatever they are, if the union is a token, the best union first, and files
// made of such vocabularies list all pairs. So the first rank at which a token is
// made stands for all of them; where a pair is missing, scores can't say it.
func (d *document) scores(v *token.Vocab) error {
	ranks := make(map[string]int, len(v.Tokens))
	pairs := make(map[merge]bool, len(d.Model.Merges))
	for rank, m := range d.Model.Merges {
		union := m[0] + m[1]
		for _, text := range []string{m[0], m[1], union} {
			if _, ok := d.Model.Vocab[text]; !ok {
				return fmt.Errorf("merge %d is of %.64q and %.64q, but there is no token %.64q", rank, m[0], m[1], text)
			}
		}
		if _, ok := ranks[union]; !ok {
			ranks[union] = rank
		}
		pairs[m] = true
	}
	merges := func(text string) bool {
		id, ok := d.Model.Vocab[text]
		return ok && (v.Types[id] == token.TypeNormal || v.Types[id] == token.TypeUserDefined)
	}
	v.Scores = make([]float32, len(v.Tokens))
	work := 0
	for id, text := range v.Tokens {
		if rank, ok := ranks[text]; ok {
			v.Scores[id] = -float32(rank)
			if rank >= 1<<24 {
				return fmt.Errorf("more than %d merges", 1<<24)
			}
		} else if v.Types[id] == token.TypeNormal {
			v.Scores[id] = -float32(len(d.Model.Merges))
		}
		if !merges(text) || strings.Contains(text, " ") || v.Types[id] == token.TypeUserDefined && !strings.Contains(text, space) {
			continue
		}
		if work += len(text) * len(text); work > maxWork {
			return fmt.Errorf("token %d is %d bytes long: with the tokens before it, more than can be looked at", id, len(text))
		}
		for i, n := 0, 0; i < len(text); i += n {
			_, n = utf8.DecodeRuneInString(text[i:])
			if i > 0 && merges(text[:i]) && merges(text[i:]) && !pairs[merge{text[:i], text[i:]}] {
				return fmt.Errorf("%.64q and %.64q don't merge into token %.64q: not a vocabulary of SentencePiece", text[:i], text[i:], text)
			}
		}
	}
	return nil
}

// maxWork bounds the sum of the squares of the lengths of tokens: looking at all
// pairs that make a token takes the square. Published vocabularies have less than
// a hundredth.
const maxWork = 1 << 30

// config is what is read of tokenizer_config.json and special_tokens_map.json.
type config struct {
	Class  string `json:"tokenizer_class"`
	BOS    *name  `json:"bos_token"`
	EOS    *name  `json:"eos_token"`
	PAD    *name  `json:"pad_token"`
	UNK    *name  `json:"unk_token"`
	AddBOS *bool  `json:"add_bos_token"`
	AddEOS *bool  `json:"add_eos_token"`
}

// name is a token's text, written alone or in an object.
type name string

func (n *name) UnmarshalJSON(data []byte) error {
	if data[0] == '{' {
		var o struct{ Content string }
		err := json.Unmarshal(data, &o)
		*n = name(o.Content)
		return err
	}
	return json.Unmarshal(data, (*string)(n))
}

// numbers is a number or a list of numbers.
type numbers []int64

func (n *numbers) UnmarshalJSON(data []byte) error {
	if data[0] == '[' {
		return json.Unmarshal(data, (*[]int64)(n))
	}
	var one *int64
	err := json.Unmarshal(data, &one)
	if one != nil {
		*n = numbers{*one}
	}
	return err
}

// roles sets BOS, EOS and their like, and whether they are added.
func (f Files) roles(v *token.Vocab, d *document) error {
	var c, special config
	var g struct {
		BOS numbers `json:"bos_token_id"`
		EOS numbers `json:"eos_token_id"`
		PAD numbers `json:"pad_token_id"`
	}
	for _, err := range []error{
		decode(configFile, f.Config, &c),
		decode(specialFile, f.SpecialTokens, &special),
		decode(generationFile, f.Generation, &g),
	} {
		if err != nil {
			return err
		}
	}
	ids := make(map[string]int32, len(d.Added))
	for _, a := range d.Added {
		ids[a.Content] = a.ID
	}
	find := func(text string) (int32, bool) {
		id, ok := ids[text]
		if !ok {
			id, ok = d.Model.Vocab[text]
		}
		return id, ok
	}
	for _, x := range []struct {
		id   *int32
		from []*name
		or   numbers
		what string
	}{
		{&v.BOS, []*name{c.BOS, special.BOS}, nil, "bos_token"},
		{&v.EOS, []*name{c.EOS, special.EOS}, g.EOS, "eos_token"},
		{&v.PAD, []*name{c.PAD, special.PAD}, g.PAD, "pad_token"},
		{&v.UNK, []*name{c.UNK, special.UNK}, nil, "unk_token"},
	} {
		for _, n := range x.from {
			if n == nil || *n == "" || *x.id >= 0 {
				continue
			}
			id, ok := find(string(*n))
			if !ok && (x.id == &v.PAD || x.id == &v.UNK) {
				continue // named by custom, not needed
			}
			if !ok {
				return fmt.Errorf("hftoken: %s: there is no token %.64q, which is the %s", tokenizerFile, string(*n), x.what)
			}
			*x.id = id
		}
		if *x.id < 0 && len(x.or) > 0 {
			id, err := f.id(v, x.or[0])
			if err != nil {
				return err
			}
			*x.id = id
		}
	}
	if v.Model == "gpt2" {
		v.UNK = -1 // bytes spell everything; GPT-2's "unknown" is the end of a text
	}

	before, after, err := d.template()
	if err != nil {
		return fmt.Errorf("hftoken: %s: %w", tokenizerFile, err)
	}
	for _, x := range []struct {
		text string
		id   *int32
	}{{before, &v.BOS}, {after, &v.EOS}} {
		if x.text == "" || *x.id >= 0 {
			continue
		}
		id, ok := find(x.text)
		if !ok {
			return fmt.Errorf("hftoken: %s: there is no token %.64q, which the post-processor adds", tokenizerFile, x.text)
		}
		*x.id = id
	}
	class := strings.TrimSuffix(c.Class, "Fast")
	byClass := d.PostProcessor.component == nil && slices.Contains([]string{"LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer"}, class)
	addBOS := isTrue(c.AddBOS, before != "" || byClass && v.BOS >= 0)
	addEOS := isTrue(c.AddEOS, after != "")
	v.AddBOS, v.AddEOS = &addBOS, &addEOS
	if addBOS && v.BOS < 0 {
		return fmt.Errorf("hftoken: %s: add_bos_token is true, but there is no bos_token", configFile)
	}
	if addEOS && v.EOS < 0 {
		return fmt.Errorf("hftoken: %s: add_eos_token is true, but there is no eos_token", configFile)
	}

	if len(g.EOS) > maxEnds {
		return fmt.Errorf("hftoken: %s: eos_token_id lists %d tokens, more than %d", generationFile, len(g.EOS), maxEnds)
	}
	for _, n := range g.EOS {
		id, err := f.id(v, n)
		switch {
		case err != nil:
			return err
		case id == v.EOS || id == v.EOT || slices.Contains(v.EOG, id):
		case v.EOT < 0:
			v.EOT = id
		default:
			v.EOG = append(v.EOG, id)
		}
	}
	return nil
}

// maxEnds is how many tokens may end a text.
const maxEnds = 1 << 10

// id checks an id of generation_config.json.
func (f Files) id(v *token.Vocab, n int64) (int32, error) {
	if n < 0 || n >= int64(len(v.Tokens)) {
		return -1, fmt.Errorf("hftoken: %s: there is no token %d", generationFile, n)
	}
	return int32(n), nil
}

// template gives the tokens that the post-processor puts before and after a
// text, "" for none.
func (d *document) template() (before, after string, err error) {
	list, err := flatten(d.PostProcessor.component, 0)
	if err != nil {
		return "", "", err
	}
	for _, c := range list {
		switch c.Type {
		case "ByteLevel":
		case "TemplateProcessing":
			seen := false
			for _, p := range c.Single {
				switch {
				case p.Sequence != nil:
					seen = true
				case p.Special == nil:
				case !seen && before == "":
					before = p.Special.ID
				case seen && after == "":
					after = p.Special.ID
				default:
					return "", "", errors.New("a post-processor that adds several tokens on one side is not supported")
				}
			}
		default:
			return "", "", fmt.Errorf("post-processor %.64q is not supported", c.Type)
		}
	}
	return before, after, nil
}
