package main

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/limbic-go/limbic/llama/token"
)

type tokenizeResult struct {
	Tokens []tokenRow `json:"tokens"`
	// Of a conversation: the text that the tokens stand for, and where turns
	// stand in it.
	Text string `json:"text,omitempty"`
	turnsNote
	Read       []int      `json:"read,omitempty"` // indices of the tokens that --read means
	Provenance provenance `json:"provenance"`
}

// readMark stands behind the tokens that --read means.
const readMark = "  ◄ read"

func newTokenize(a *app) *cobra.Command {
	var text textFlags
	cmd := &cobra.Command{
		Use:   "tokenize MODEL TEXT",
		Short: "Show the tokens of a text with their byte offsets",
		Long: `Show the tokens of a text: id, the bytes of the text it stands for (from start
up to, not including, end), and its name, in which bytes that are not valid
UTF-8 are written <0xXX>. Files that hold only a vocabulary will do.

` + chatHelp + `
Offsets are then those in the whole text, and a column says who speaks. --read
marks the tokens that other commands would read.`,
		Example: examples(
			`limbic tokenize MODEL "Once upon a time"`,
			`limbic tokenize MODEL "How do you feel?" --format human-assistant --prefill "(" --read assistant_start`,
			`echo "from standard input" | limbic tokenize MODEL - --json`,
		),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			c, messages, err := text.source(ctx, a, args)
			if err != nil {
				return err
			}
			f, err := openFile(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			tok, err := token.FromGGUF(f)
			if err != nil {
				return err
			}
			from, err := text.prompter(a, f, tok).prompt(ctx, c, messages)
			if err != nil {
				return err
			}
			rows := tokenRows(tok, from.Tokens)
			if a.json {
				p, err := fileProvenance(ctx, f, tok)
				if err != nil {
					return err
				}
				p.definePrompt(&text, from)
				r := tokenizeResult{Tokens: rows, turnsNote: from.turns(), Read: from.read, Provenance: p}
				if r.Turns != nil {
					r.Text = from.Text
				}
				return a.writeJSON(r)
			}
			t := table{head: []string{"#", "id", "start", "end", "text"}, right: []bool{true, true, true, true, false}}
			turns := from.turns().Turns != nil
			if turns {
				t.head, t.right = slices.Insert(t.head, 4, "role"), slices.Insert(t.right, 4, false)
			}
			for i, r := range rows {
				cells := []string{strconv.Itoa(i), strconv.Itoa(int(r.ID)), strconv.Itoa(r.Start), strconv.Itoa(r.End), strconv.Quote(r.Text)}
				if turns {
					cells = slices.Insert(cells, 4, from.Roles[i].String())
				}
				if slices.Contains(from.read, i) {
					cells[len(cells)-1] += readMark
				}
				t.add(cells...)
			}
			if err := a.print(&t); err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "%s for %s\n", counted(len(rows), "token"), counted(len(from.Text), "byte"))
			return err
		},
	}
	text.registerChat(cmd)
	text.registerRead(cmd, "mark the tokens that are read")
	return cmd
}
