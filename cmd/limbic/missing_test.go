package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// A command line that is well formed but names what the model, the vectors or
// the corpus does not have fails; it is not wrong usage.
func TestNamesOfWhatIsNotThere(t *testing.T) {
	v := exampleVectors
	for _, c := range []struct{ args, parts string }{
		{"trace|" + testModel + "|t|--out|f.npz|--sites|resid_post:2", "--sites|resid_post:2|0 to 1"},
		{"trace|" + testModel + "|t|--out|f.npz|--sites|hf:7", "--sites|hf:7|hf:0 to hf:2"},
		{"probe|" + testModel + "|" + v + "|t|--site|resid_post:2", "--site|resid_post:2|0 to 1"},
		{"probe|" + testModel + "|" + v + "|t|--emotions|clam", `unknown emotion "clam"|did you mean "calm"`},
		{"steer|" + testModel + "|t|--vector|" + v + ":calm|--sites|resid_post:2", "--sites|resid_post:2|0 to 1"},
		{"steer|" + testModel + "|t|--vector|" + v + ":clam", `unknown emotion "clam"|did you mean "calm"`},
		{"logits|" + testModel + "|t|--steer|" + v + ":calm=1@resid_post:9", "--steer|calm=+1@resid_post:9|0 to 1"},
		{"generate|" + testModel + "|t|--probe|" + v + "|--probe-site|resid_post:2", "--probe-site|0 to 1"},
		{"vectors|build|m|--emotions|desprate", `--emotions: unknown emotion "desprate"|did you mean "desperate"`},
		{"vectors|build|m|--topics|seas", `--topics: unknown topic "seas"|did you mean "sea"`},
		{"vectors|build|m|--exclude-topics|hotl", `--exclude-topics: unknown topic "hotl"|did you mean "hotel"`},
		{"vectors|build|" + testModel + "|--out|f.safetensors|--sites|resid_post:3", "--sites|resid_post:3|0 to 1"},
	} {
		t.Run(c.args, func(t *testing.T) {
			r := limbic(strings.Split(c.args, "|")...)
			r.fails(t, exitFailed, strings.Split(c.parts, "|")...)
			assert.Empty(t, r.stdout)
		})
	}
}
