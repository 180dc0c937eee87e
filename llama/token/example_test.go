package token_test

import (
	"fmt"

	"github.com/limbic-go/limbic/llama/token"
)

// A vocabulary of a few tokens; that of a model comes from token.FromGGUF.
func Example() {
	v := token.NoIDs()
	v.Model = "llama"
	v.Tokens = []string{"<unk>", "<s>", "▁", "h", "i", "hi", "▁hi", "!"}
	v.Scores = []float32{0, 0, -6, -5, -4, -1, -2, -3}
	v.Types = []int32{2, 3, 1, 1, 1, 1, 1, 1}
	v.UNK, v.BOS = 0, 1
	tok, err := token.New(v)
	if err != nil {
		fmt.Println(err)
		return
	}

	text := "hi hi!"
	tokens := tok.Encode(text, token.EncodeOptions{})
	for _, t := range tokens {
		fmt.Printf("%d %q is %q\n", t.ID, tok.Text(t.ID), text[t.Start:t.End])
	}
	fmt.Printf("%q\n", tok.Decode(token.IDs(tokens)))
	// Output:
	// 1 "<s>" is ""
	// 6 " hi" is "hi"
	// 6 " hi" is " hi"
	// 7 "!" is "!"
	// "hi hi!"
}

func ExampleTokenizer_Encode_special() {
	v := token.NoIDs()
	v.Model = "llama"
	v.Tokens = []string{"<unk>", "<s>", "</s>", "▁", "<", "s", ">", "a"}
	v.Scores = make([]float32, len(v.Tokens))
	v.Types = []int32{2, 3, 3, 1, 1, 1, 1, 1}
	v.UNK, v.BOS, v.EOS = 0, 1, 2
	tok, err := token.New(v)
	if err != nil {
		fmt.Println(err)
		return
	}
	// Text from outside can't forge a special token; a template may write one.
	fmt.Println(token.IDs(tok.Encode("a<s>", token.EncodeOptions{BOS: token.Never})))
	fmt.Println(token.IDs(tok.Encode("a<s>", token.EncodeOptions{BOS: token.Never, Special: true})))
	// Output:
	// [3 7 4 5 6]
	// [3 7 1]
}
