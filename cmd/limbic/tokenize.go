package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/limbic-go/limbic/llama/token"
)

type tokenizeResult struct {
	Tokens     []tokenRow `json:"tokens"`
	Provenance provenance `json:"provenance"`
}

func newTokenize(a *app) *cobra.Command {
	var text textFlags
	cmd := &cobra.Command{
		Use:   "tokenize MODEL TEXT",
		Short: "Show the tokens of a text with their byte offsets",
		Long: `Show the tokens of a text: id, the bytes of the text it stands for (from start
up to, not including, end), and its name, in which bytes that are not valid
UTF-8 are written <0xXX>. Files that hold only a vocabulary will do.`,
		Example: examples(
			`limbic tokenize MODEL "Once upon a time"`,
			`limbic tokenize MODEL "<s>not a special token" --no-bos`,
			`echo "from standard input" | limbic tokenize MODEL - --json`,
		),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			s, err := text.read(ctx, a, args)
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
			rows := tokenRows(tok, text.encode(a, tok, s))
			if a.json {
				p, err := fileProvenance(ctx, f, tok)
				if err != nil {
					return err
				}
				p.defineText(&text)
				return a.writeJSON(tokenizeResult{rows, p})
			}
			t := table{head: []string{"#", "id", "start", "end", "text"}, right: []bool{true, true, true, true, false}}
			for i, r := range rows {
				t.add(strconv.Itoa(i), strconv.Itoa(int(r.ID)), strconv.Itoa(r.Start), strconv.Itoa(r.End), strconv.Quote(r.Text))
			}
			if err := a.print(&t); err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "%s for %s\n", counted(len(rows), "token"), counted(len(s), "byte"))
			return err
		},
	}
	text.register(cmd)
	return cmd
}
