package token

import "fmt"

// tinySPM is a SentencePiece vocabulary small enough to follow by hand. Better
// scores merge first.
func tinySPM() Vocab {
	v := NoIDs()
	v.Model = "llama"
	add := func(text string, score float32, typ int32) {
		v.Tokens = append(v.Tokens, text)
		v.Scores = append(v.Scores, score)
		v.Types = append(v.Types, typ)
	}
	add("<unk>", 0, TypeUnknown)
	add("<s>", 0, TypeControl)
	add("</s>", 0, TypeControl)
	for b := range 256 {
		add(fmt.Sprintf("<0x%02X>", b), 0, TypeByte)
	}
	v.UNK, v.BOS, v.EOS = 0, 1, 2
	for i, text := range []string{ // from 259 on
		"▁t", "he", "▁the", "er", "▁a", "in", "ing", "▁▁", "ll", "hell", "hello", "▁hello",
		"▁", "t", "h", "e", "r", "a", "i", "n", "g", "l", "o", "<", "s", ">", "<s", "/", "é", "x", "xx", "xxx",
	} {
		add(text, -float32(i), TypeNormal)
	}
	add("<tool>", 0, TypeUserDefined)
	return v
}

// tinyBPE is a byte-level vocabulary small enough to follow by hand.
func tinyBPE() Vocab {
	v := NoIDs()
	v.Model = "gpt2"
	v.Pre = "gpt-2"
	spell := make([]string, 256)
	for r, b := range runeBytes {
		if b >= 0 {
			spell[b] = string(rune(r))
		}
	}
	v.Tokens = append(v.Tokens, spell...)
	for _, m := range [][2]string{ // in order of rank; the tokens are 256 and up
		{"t", "h"}, {"th", "e"}, {"Ġ", "the"}, {"i", "n"}, {"in", "g"}, {"Ġ", "a"}, {"Ġ", "Ġ"}, {"l", "l"},
		{"e", "ll"}, {"h", "ell"}, {"hell", "o"}, {"ĠĠ", "ĠĠ"}, {"Ã", "©"},
	} {
		v.Merges = append(v.Merges, m[0]+" "+m[1])
		v.Tokens = append(v.Tokens, m[0]+m[1])
	}
	for range v.Tokens {
		v.Types = append(v.Types, TypeNormal)
	}
	special := func(text string, typ int32) int32 {
		v.Tokens = append(v.Tokens, text)
		v.Types = append(v.Types, typ)
		return int32(len(v.Tokens) - 1)
	}
	v.EOS = special("<|endoftext|>", TypeControl)
	special("<|im_end|>", TypeControl)
	special("<tool>", TypeUserDefined)
	return v
}

func must(v Vocab) *Tokenizer {
	t, err := New(v)
	if err != nil {
		panic(err)
	}
	return t
}
