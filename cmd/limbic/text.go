package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/limbic-go/limbic/llama/token"
)

// textFlags are the flags of every command that takes a TEXT.
type textFlags struct {
	file    string
	noBOS   bool
	special bool

	chats bool // conversations are taken, too
	chat  chatFlags
	read  readFlag
}

func (f *textFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.file, "file", "", "read the text from the file `F` instead of TEXT; - is standard input")
	cmd.Flags().BoolVar(&f.noBOS, "no-bos", false, "don't begin with BOS, even if the model file asks for it")
	cmd.Flags().BoolVar(&f.special, "special", false, "take text that spells a special token for that token")
	cmd.Args = f.args
}

// registerChat is register for a command that takes conversations, too.
func (f *textFlags) registerChat(cmd *cobra.Command) {
	f.register(cmd)
	f.chats = true
	f.chat.register(cmd)
}

// registerRead adds the flag of a command that reads at some tokens.
func (f *textFlags) registerRead(cmd *cobra.Command, usage string) {
	cmd.Flags().Var(&f.read, "read", usage+": last, user_end, assistant_start, span:\"TEXT\" or mean:ROLE")
}

// args checks the positional arguments MODEL and TEXT.
func (f *textFlags) args(cmd *cobra.Command, args []string) error {
	file := cmd.Flags().Changed("file")
	messages := false
	if f.chats {
		if err := f.chat.check(cmd, false); err != nil {
			return err
		}
		messages = f.chat.given.messages
	}
	switch {
	case len(args) == 0:
		return usagef("MODEL is missing: a path to a .gguf file")
	case messages && file:
		return usagef("--messages and --file exclude each other")
	case messages && len(args) > 1:
		return usagef("TEXT and --messages exclude each other: there is TEXT %s", abbreviated(args[1]))
	case messages:
		return nil
	case file && f.file == "":
		return usagef("--file names no file")
	case file && len(args) > 1:
		return usagef("TEXT and --file exclude each other: there is TEXT %s and --file %s", abbreviated(args[1]), abbreviated(f.file))
	case !file && len(args) == 1:
		return usagef("TEXT is missing: give it, or - for standard input, or --file F")
	case len(args) > 2:
		return usagef("unexpected argument %s: a TEXT with spaces needs quotes", abbreviated(args[2]))
	}
	return nil
}

// abbreviated quotes the beginning of an argument for a message.
func abbreviated(s string) string {
	const most = 40
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return strconv.Quote(s)
}

// readText gives the text: args are the positional arguments.
func (f *textFlags) readText(ctx context.Context, a *app, args []string) (string, error) {
	var b []byte
	var err error
	switch {
	case len(args) > 1 && args[1] != "-":
		return args[1], nil
	case len(args) > 1 || f.file == "-":
		b, err = readAll(ctx, a.stdin)
		if err != nil {
			err = fmt.Errorf("standard input: %w", err)
		}
	default:
		b, err = os.ReadFile(f.file)
		if err != nil {
			err = fmt.Errorf("text: %w", err)
		}
	}
	return string(b), err
}

// readAll is io.ReadAll that returns when ctx ends, which a read from a
// terminal does not.
func readAll(ctx context.Context, r io.Reader) ([]byte, error) {
	type result struct {
		b   []byte
		err error
	}
	c := make(chan result, 1)
	go func() {
		b, err := io.ReadAll(r)
		c <- result{b, err}
	}()
	select {
	case got := <-c:
		return got.b, got.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// openText reads the text that a command is about, and then opens the model:
// args are the positional arguments. Whoever calls closes the engine.
func (a *app) openText(ctx context.Context, args []string, text *textFlags, flags *engineFlags) (string, *engine, error) {
	s, err := text.readText(ctx, a, args)
	if err != nil {
		return "", nil, err
	}
	e, err := openEngine(args[0], flags)
	return s, e, err
}

// encode turns the text into tokens. EOS is never added, whatever the model
// file says: every command is about what follows a text, or about the text.
func (f *textFlags) encode(a *app, tok *token.Tokenizer, text string) []token.Token {
	o := token.EncodeOptions{EOS: token.Never, Special: f.special}
	if f.noBOS {
		o.BOS = token.Never
	}
	tokens := tok.Encode(text, o)
	if bos, ok := tok.BOS(); ok && len(tokens) > 1 && tokens[0].ID == bos && tokens[1].ID == bos {
		a.warn("the text itself begins with BOS twice")
	}
	return tokens
}

// A tokenRow describes a token of a text in JSON. Text is the token's name for
// people, in which bytes that are not valid UTF-8 are written <0xXX>; Start and
// End say exactly which bytes of the text the token stands for.
type tokenRow struct {
	ID    int32  `json:"id"`
	Text  string `json:"text"`
	Start int    `json:"start"`
	End   int    `json:"end"`
}

func tokenRows(tok *token.Tokenizer, tokens []token.Token) []tokenRow {
	rows := make([]tokenRow, len(tokens))
	for i, t := range tokens {
		rows[i] = tokenRow{t.ID, tok.Text(t.ID), t.Start, t.End}
	}
	return rows
}

// ids gives the ids of tokens; it is never nil, which JSON would write null.
func ids(tokens []token.Token) []int32 { return append([]int32{}, token.IDs(tokens)...) }
