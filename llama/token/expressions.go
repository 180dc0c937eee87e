package token

import (
	"slices"
	"strings"
	"unicode"
)

// Regular expressions as tokenizer files write them.
const (
	exprGPT2   = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	exprWords  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}NUMBER| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	exprTik    = `'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}NUMBER| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+`
	exprQwen35 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	exprCased  = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+SUFFIX` +
		`|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*SUFFIX` +
		`|\p{N}NUMBER| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	exprContractions = `(?i:'s|'t|'re|'ve|'m|'ll|'d)?`
	exprDeepseekV3   = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+" +
		`|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	exprIdeographs = `[一-龥ࠀ-一가-퟿]+`
	exprSeedCoder  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+`

	exprNumber  = `\p{N}`
	exprNumbers = `\p{N}+`
	exprSigns   = "[\\p{P}$+<=>^`|~]+"
)

func withNumber(expr, number string) string { return strings.ReplaceAll(expr, "NUMBER", number) }

// expressions are the stages that the splitters are known by, beside the names.
// Those of a splitter are all the same to it.
var expressions = []struct {
	name   string
	stages []string
}{
	{"gpt-2", []string{exprGPT2}},
	{"llama-bpe", []string{withNumber(exprWords, "{1,3}")}},
	{"llama-bpe", []string{withNumber(exprTik, "{1,3}")}},
	{"dbrx", []string{withNumber(exprWords, "{1,3}")}},
	{"dbrx", []string{withNumber(exprTik, "{1,3}")}},
	{"qwen2", []string{withNumber(exprWords, "")}},
	{"qwen2", []string{withNumber(exprTik, "")}},
	{"qwen35", []string{exprQwen35}},
	{"gpt-4o", []string{strings.ReplaceAll(withNumber(exprCased, "{1,3}"), "SUFFIX", exprContractions)}},
	{"tekken", []string{strings.ReplaceAll(withNumber(exprCased, ""), "SUFFIX", "")}},
	{"deepseek-llm", []string{
		`[\r\n]`, `\s?[` + rangesText(deepseekLetters) + `]+`, `\s?[!-/:-~！-／：-～‘-‟　-。]+`, `\s+$`, exprIdeographs, exprNumber,
	}},
	{"deepseek-coder", []string{`[\r\n]`, `\s?\p{L}+`, `\s?\p{P}+`, exprIdeographs, exprNumber}},
	{"deepseek-v3", []string{`\p{N}{1,3}`, `[一-龥぀-ゟ゠-ヿ]+`, exprDeepseekV3}},
	{"smollm", []string{exprNumber, exprGPT2}},
	{"falcon", []string{exprSigns, exprGPT2, exprNumbers, `[0-9][0-9][0-9]`}},
	{"minicpm5", []string{`\p{N}{1,3}`, withNumber(exprWords, "+")}},
	{"seed-coder", []string{exprSeedCoder}},
}

// rangesText writes ranges as a regular expression's class does.
func rangesText(t *unicode.RangeTable) string {
	var b strings.Builder
	write := func(lo, hi rune) {
		b.WriteRune(lo)
		if hi > lo {
			b.WriteByte('-')
			b.WriteRune(hi)
		}
	}
	for _, r := range t.R16 {
		write(rune(r.Lo), rune(r.Hi))
	}
	for _, r := range t.R32 {
		write(rune(r.Lo), rune(r.Hi))
	}
	return b.String()
}

// SplitterOf finds the splitter that regular expressions define: each splits the
// matches of the ones before it, and what lies between these, into its matches
// and what lies between them. The expressions must be written as in the known
// tokenizer files; line breaks may be characters or \r and \n. Of several
// splitters that split alike, wholeWords chooses the one that takes a word that
// is a token for that token, whatever the merges say; whole is what the one that
// was found does by itself (see Vocab.WholeWords).
func SplitterOf(stages []string, wholeWords bool) (name string, whole, ok bool) {
	stages = slices.Clone(stages)
	for i, s := range stages {
		stages[i] = strings.NewReplacer("\r", `\r`, "\n", `\n`).Replace(s)
	}
	for _, x := range expressions {
		if !slices.Equal(x.stages, stages) {
			continue
		}
		s, _ := splitterByName(x.name)
		if !ok || s.wholeWords == wholeWords {
			name, whole, ok = s.name, s.wholeWords, true
		}
	}
	return name, whole, ok
}
