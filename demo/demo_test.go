package demo

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/asm"
	"github.com/limbic-go/limbic/emotion"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/probe"
)

func newRunner(t *testing.T, o llama.RunnerOptions) *llama.Runner {
	t.Helper()
	m, err := Model()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	r, err := m.NewRunner(o)
	require.NoError(t, err)
	t.Cleanup(r.Close)
	return r
}

func TestFiles(t *testing.T) {
	require.Equal(t, ModelSHA256, hash(modelFile))
	require.Equal(t, VectorsSHA256, hash(vectorsFile))
	require.Less(t, len(modelFile), 10<<20)
	require.Less(t, len(vectorsFile), 3<<20)

	r := newRunner(t, llama.RunnerOptions{Threads: 1})
	m := r.Model()
	v, err := Vectors()
	require.NoError(t, err)
	require.NoError(t, v.CheckModel(ModelSHA256, m.Tokenizer().Hash(), m.Config().Width))
	require.Equal(t, MeansSHA256, v.Provenance.MeansSHA256)
	require.Equal(t, emotion.EmbeddedHash, v.Provenance.Corpus)
	require.Equal(t, emotion.Emotions(), v.Emotions)
	require.Len(t, v.Sites, m.Config().Blocks)
	for _, topic := range UnseenTopics() {
		require.Contains(t, v.Provenance.Topics, topic)
	}
	reader, err := v.NewReader(probe.ReaderOptions{})
	require.NoError(t, err)
	require.Equal(t, llama.DefaultSite(m.Config().Blocks), reader.Site())

	_, err = ModelCard()
	require.NoError(t, err)
}

// Whoever changes a file without the constants gets no model and no vectors.
func TestHashesAreChecked(t *testing.T) {
	spoil := func(b *[]byte) {
		whole := *b
		*b = bytes.Clone(whole)
		(*b)[len(whole)-1] ^= 1
		t.Cleanup(func() { *b = whole })
	}
	spoil(&modelFile)
	spoil(&vectorsFile)
	_, err := Model()
	require.ErrorContains(t, err, "the embedded model is not the one that it should be")
	_, err = Vectors()
	require.ErrorContains(t, err, "the embedded vectors are not those that they should be")
}

// The hash has the layout that its documentation gives, and the same value for
// any number of threads and with plain Go.
func TestHash(t *testing.T) {
	r := newRunner(t, llama.RunnerOptions{Threads: 2})
	got, err := Hash(t.Context(), r)
	require.NoError(t, err)
	require.Equal(t, ReadmeSHA256, got)

	// Token by token and site by site, collected apart.
	text, err := story()
	require.NoError(t, err)
	tokens := probe.Encode(r.Model(), text).Tokens[:StoryTokens]
	c := r.Model().Config()
	states := make([][]float32, c.Blocks)
	var logits []float32
	hook := &llama.Hook{Name: "test", Func: func(v *llama.View) error {
		states[v.Site.Block] = append(states[v.Site.Block], v.At(0)...)
		return nil
	}}
	for b := range c.Blocks {
		hook.Sites = append(hook.Sites, llama.Site{Point: llama.ResidPost, Block: b})
	}
	s := r.NewSequence()
	defer s.Close()
	for i := range tokens {
		require.NoError(t, r.Forward(t.Context(), &llama.Pass{
			Spans: []llama.Span{{Seq: s, Tokens: tokens[i : i+1], Logits: llama.LastLogits}}, Hooks: []*llama.Hook{hook},
		}))
		logits = append(logits, r.Logits(0)...)
	}
	doc := []byte("limbic hash 1\n")
	put := func(x uint32) { doc = binary.LittleEndian.AppendUint32(doc, x) }
	for _, n := range []int{StoryTokens, c.Blocks, c.Width, c.Vocabulary} {
		put(uint32(n))
	}
	for _, tok := range tokens {
		put(uint32(tok.ID))
	}
	for _, xs := range append(states, logits) {
		for _, x := range xs {
			put(math.Float32bits(x))
		}
	}
	sum := sha256.Sum256(doc)
	require.Equal(t, got, hex.EncodeToString(sum[:]))

	small := newRunner(t, llama.RunnerOptions{BatchTokens: StoryTokens - 1})
	_, err = Hash(t.Context(), small)
	require.ErrorContains(t, err, "one batch")
	if asm.Best() == asm.Generic {
		return
	}
	restore, err := asm.Use(asm.Generic)
	require.NoError(t, err)
	defer restore()
	got, err = Hash(t.Context(), r)
	require.NoError(t, err)
	require.Equal(t, ReadmeSHA256, got)
}

// The README states the hashes that the demonstration compares.
func TestReadmeStatesTheHashes(t *testing.T) {
	b, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	require.True(t, bytes.Contains(b, []byte(MeansSHA256)), "README.md lacks %s", MeansSHA256)
	require.True(t, bytes.Contains(b, []byte(ReadmeSHA256)), "README.md lacks %s", ReadmeSHA256)
}
