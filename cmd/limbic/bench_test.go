package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBench(t *testing.T) {
	r := okJSON[benchResult](t, "bench", testModel, "--prompt", "8", "--gen", "3", "--texts", "2", "--text-tokens", "6", "--repeat", "2", "--threads", "1")
	for name, tps := range map[string]*float64{"prompt": r.PromptTPS, "generate": r.GenerateTPS, "extract": r.ExtractTPS} {
		require.NotNil(t, tps, name)
		assert.Positive(t, *tps, name)
	}
	assert.Len(t, r.Prompt.Samples, 2)
	assert.Equal(t, *r.PromptTPS, r.Prompt.Median)
	assert.Equal(t, 8, r.PromptTokens)
	assert.Equal(t, 0, r.GenerateDepth)
	assert.Len(t, r.Limits, 3)
	assert.Positive(t, r.Shares[generateOfMemory])
	assert.Positive(t, r.Cost.BlockWeights)
	assert.Equal(t, 1, r.Provenance.Threads)
	assert.Len(t, r.Provenance.Sites, 1)

	// What is left out is null, and nothing of it is computed.
	r = okJSON[benchResult](t, "bench", testModel, "--prompt", "0", "--gen", "2", "--texts", "0", "--repeat", "1", "--limits=false")
	assert.Nil(t, r.PromptTPS)
	assert.NotNil(t, r.GenerateTPS)
	assert.Nil(t, r.ExtractTPS)
	assert.Empty(t, r.Limits)
	assert.Empty(t, r.Shares)

	// Scripts, bench/cmd/peers among them, go by these names.
	fields := okJSON[map[string]any](t, "bench", testModel, "--prompt", "2", "--gen", "2", "--texts", "1", "--text-tokens", "2", "--repeat", "1", "--limits=false")
	for _, name := range []string{"prompt_tps", "generate_tps", "extract_tps"} {
		assert.IsType(t, 0.0, fields[name], name)
	}

	r = okJSON[benchResult](t, "bench", testModel, "--prompt", "0", "--gen", "2", "--depth", "5", "--texts", "0", "--repeat", "1", "--limits=false")
	assert.Equal(t, 5, r.GenerateDepth)

	text := ok(t, "bench", testModel, "--prompt", "8", "--gen", "2", "--depth", "3", "--texts", "1", "--text-tokens", "4", "--repeat", "1", "--limits=false")
	for _, s := range []string{"prompt of 8 tokens", "generation of 2 tokens after 3", "extraction from 1 text of 4 tokens", "output of block"} {
		assert.Contains(t, text, s)
	}
}

func TestBenchUsage(t *testing.T) {
	for _, c := range []struct {
		args  []string
		parts []string
	}{
		{nil, []string{"MODEL is missing"}},
		{[]string{"m", "--prompt", "-1"}, []string{"--prompt -1"}},
		{[]string{"m", "--repeat", "0"}, []string{"--repeat 0"}},
		{[]string{"m", "--prompt", "0", "--gen", "0", "--texts", "0"}, []string{"nothing to measure"}},
		{[]string{testModel, "--prompt", "4000"}, []string{"--prompt 4000", "2048"}},
		{[]string{testModel, "--gen", "8", "--depth", "2041"}, []string{"--depth 2041 and --gen 8", "2048"}},
		{[]string{"m", "--depth", "-1"}, []string{"--depth -1"}},
		{[]string{testModel, "--site", "resid_post:all"}, []string{"--site"}},
	} {
		limbic(append([]string{"bench"}, c.args...)...).fails(t, exitUsage, c.parts...)
	}
}

// An interrupted run shows what it measured before.
func TestBenchInterrupted(t *testing.T) {
	r := limbicIn(endAfter(40), "", "bench", testModel, "--prompt", "4", "--gen", "8", "--texts", "0", "--repeat", "1000", "--json")
	r.fails(t, exitInterrupted, "interrupted while measuring")
	part := decode[benchResult](t, r.stdout)
	assert.True(t, part.Interrupted)
	assert.NotEmpty(t, part.Prompt.Samples)
}
