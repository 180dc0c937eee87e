package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	otherModel   = "../../testdata/models/quant-q4_k_m.gguf"
	otherVectors = "../../testdata/vectors/quant-q4_k_m.safetensors"
)

func TestRun(t *testing.T) {
	for name, args := range map[string][]string{
		"embedded model": {"-tokens", "3"},
		"another model":  {"-model", otherModel, "-vectors", otherVectors, "-tokens", "3", "The door opened and"},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			require.NoError(t, run(args, nil, &out))
			rows := strings.Split(out.String(), "\n\n")[1:]
			var heads []string
			var added []string // lengths, as printed
			for _, r := range rows {
				head, _, _ := strings.Cut(r, ": ")
				heads = append(heads, head)
				edits := regexp.MustCompile(`\n   (\d+) tokens edited at the output of block \d+ of \d+ \(counted from 0\): length (\d+\.\d\d) added`).FindStringSubmatch(r)
				require.NotNil(t, edits, r)
				require.NotEqual(t, "0", edits[1])
				added = append(added, edits[2])
			}
			require.Equal(t, []string{"happy -0.5", "random-1 -0.5", "happy +0.0", "happy +0.5", "random-1 +0.5"}, heads)
			// The control is as long as what it stands beside.
			require.Equal(t, []string{added[0], added[0], "0.00", added[0], added[0]}, added)
			require.NotEqual(t, "0.00", added[0])
			require.Contains(t, rows[2], "moved by 0.000 nats")
			require.NotContains(t, rows[3], "moved by 0.000 nats")
		})
	}
}

func TestRunRefuses(t *testing.T) {
	for _, c := range []struct {
		args []string
		err  string
	}{
		{[]string{"-model", otherModel}, "-vectors"},
		{[]string{"-vectors", otherVectors}, "-model"},
		{[]string{"-model", "none.gguf", "-vectors", otherVectors}, "none.gguf"},
		{[]string{"-model", "../../testdata/models/quant-q4_0.gguf", "-vectors", otherVectors}, "model_sha256"},
		{[]string{"-emotion", "happyy"}, "happyy"},
	} {
		require.ErrorContains(t, run(c.args, nil, &strings.Builder{}), c.err)
	}
}
