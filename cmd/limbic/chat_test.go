package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/llama/chat"
)

// answers decodes lines of JSON.
func answers(t *testing.T, r result) []generateResult {
	t.Helper()
	require.Equal(t, 0, r.status, r.stderr)
	var out []generateResult
	for line := range strings.Lines(r.stdout) {
		var a generateResult
		require.NoError(t, json.Unmarshal([]byte(line), &a))
		out = append(out, a)
	}
	return out
}

// An answer is what generate gives for the same conversation, although the model
// reads what it has read before only once.
func TestChatIsGenerate(t *testing.T) {
	m := chatModel(t)
	common := []string{"--max-tokens", "6", "--temp", "1", "--json"}
	got := answers(t, limbicIn(t.Context(), "Hi\n\nAnd you?\r\nBye", append([]string{"chat", m, "--system", "S", "--date", "2025-03-09"}, common...)...))
	require.Len(t, got, 3)
	history := []chat.Message{{Role: chat.System, Content: "S"}}
	for i, said := range []string{"Hi", "And you?", "Bye"} {
		history = append(history, chat.Message{Role: chat.User, Content: said})
		r := okJSON[generateResult](t, append([]string{"generate", m, "--messages", messagesFile(t, history...), "--date", "2025-03-09"}, common...)...)
		assert.Equal(t, r.PromptTokens, got[i].PromptTokens)
		if i == 0 { // later answers draw other numbers
			assert.Equal(t, r.Tokens, got[i].Tokens)
		}
		assert.Equal(t, r.Provenance.Prompt, got[i].Provenance.Prompt)
		history = append(history, chat.Message{Role: chat.Assistant, Content: got[i].Text})
	}
}

func TestChatGreedyIsGenerate(t *testing.T) {
	m := chatModel(t)
	common := []string{"--max-tokens", "6", "--json", "--format", "human-assistant"}
	got := answers(t, limbicIn(t.Context(), "Hi\nAnd you?\n", append([]string{"chat", m}, common...)...))
	require.Len(t, got, 2)
	r := okJSON[generateResult](t, append([]string{"generate", m, "--messages", messagesFile(t,
		chat.Message{Role: chat.User, Content: "Hi"}, chat.Message{Role: chat.Assistant, Content: got[0].Text}, chat.Message{Role: chat.User, Content: "And you?"})}, common...)...)
	assert.Equal(t, r.Tokens, got[1].Tokens)
	assert.Equal(t, strings.TrimLeft(r.Text, " "), got[1].Text)
}

func TestChatCommands(t *testing.T) {
	slowInPlainGo(t)
	v := exampleVectors
	file := filepath.Join(t.TempDir(), "c.json")
	args := []string{"chat", testModel, "--format", "human-assistant", "--max-tokens", "3", "--probe", v + ":calm,happy"}
	in := "Hi\n/steer " + v + ":calm=0.2#generated\nYes?\n/save " + file + "\n/steer none\n/reset\nHi\n/help\n/quit\nnever said\n"
	r := limbicIn(t.Context(), in, args...)
	require.Equal(t, 0, r.status, r.stderr)
	assert.NotContains(t, r.stdout, "/steer")
	assert.Equal(t, 3, strings.Count(r.stderr, "[calm "))
	assert.Contains(t, r.stderr, "steers: "+v+":calm=+0.2#generated\n")
	assert.Contains(t, r.stderr, "nothing steers\n")
	assert.Contains(t, r.stderr, "wrote "+file)

	b, err := os.ReadFile(file)
	require.NoError(t, err)
	var saved savedChat
	require.NoError(t, json.Unmarshal(b, &saved))
	require.Len(t, saved.Messages, 4)
	require.Len(t, saved.Answers, 2)
	assert.Nil(t, saved.Answers[0].Receipt)
	assert.Equal(t, "human-assistant", saved.Provenance.Definitions["format"])
	require.NotNil(t, saved.Answers[1].Receipt)
	// The last token of the prompt and the new ones but the last.
	assert.Equal(t, 3, saved.Answers[1].Receipt.Edits[0].Edits)
	assert.Len(t, saved.Answers[1].Trace.Scores, 3)

	// The third answer is the first again, and a saved conversation goes on.
	all := answers(t, limbicIn(t.Context(), in, append(args, "--json")...))
	assert.Equal(t, all[0].Tokens, all[2].Tokens)
	on := answers(t, limbicIn(t.Context(), "More\n", "chat", testModel, "--format", "human-assistant", "--max-tokens", "3", "--messages", file, "--json"))
	assert.Len(t, on[0].Provenance.Prompt.Messages, 5)
}

// What ends the program ends a conversation that waits for a line.
func TestChatEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stdin, w := io.Pipe()
	defer w.Close()
	var stdout, stderr bytes.Buffer
	time.AfterFunc(20*time.Millisecond, cancel)
	assert.Equal(t, exitInterrupted, run(ctx, []string{"chat", chatModel(t)}, stdin, &stdout, &stderr))
	assert.Equal(t, "limbic: interrupted\n", stderr.String())
}

func TestChatErrors(t *testing.T) {
	limbic("chat").fails(t, exitUsage, "MODEL is missing")
	limbic("chat", "m", "x").fails(t, exitUsage, `unexpected argument "x"`)
	limbic("chat", "m", "--format", "raw").fails(t, exitUsage, "--format raw")
	limbic("chat", "m", "--messages", "-").fails(t, exitUsage, "--messages -")
	limbic("chat", tinyModel).fails(t, exitFailed, "has no chat template", "--format human-assistant")
	m := chatModel(t)
	for in, part := range map[string]string{
		"/what":                  `unknown command "/what"`,
		"/save":                  "/save needs the name",
		"/save /no/such/file":    "write /no/such/file",
		"/steer x":               `/steer: plan "x"`,
		"/steer no.st:calm=1":    "no.st",
		strings.Repeat("x", 600): "leaves the context of 512 no room",
	} {
		limbicIn(t.Context(), in+"\n/quit\n", "chat", m).fails(t, exitFailed, part)
	}
	assert.Equal(t, result{}, limbicIn(t.Context(), "", "chat", m))
}
