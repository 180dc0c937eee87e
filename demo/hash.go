package demo

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"

	"github.com/limbic-go/limbic/emotion"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/probe"
)

// The story of Hash: what StoryEmotion is shown in on StoryTopic, in the
// embedded corpus, and how many of its tokens are read, BOS included.
const (
	StoryEmotion = "afraid"
	StoryTopic   = "night"
	StoryTokens  = 48
)

// Hash is the hash that anybody can compute again to see that limbic's numbers
// are the same bits on their machine: the SHA-256, in hexadecimal, of what a
// model makes of the first StoryTokens tokens of one story, in the precision
// exact. It takes seconds in plain Go, for a model of some million parameters.
//
// What is hashed is, with all numbers little-endian and nothing between them:
//
//	"limbic hash 1\n"
//	uint32  number of tokens T, blocks B, width of the stream D, vocabulary V
//	int32   ids of the tokens                               [T]
//	float32 residual stream at the output of every block    [B, T, D]
//	float32 logits at every token                           [T, V]
//
// For the embedded model it is ReadmeSHA256.
func Hash(ctx context.Context, r *llama.Runner) (string, error) {
	if p := r.Options().Precision; p != llama.Exact {
		return "", fmt.Errorf("demo: the hash is defined for the precision %v, the model runs in %v", llama.Exact, p)
	}
	text, err := story()
	if err != nil {
		return "", err
	}
	c := r.Model().Config()
	tokens := probe.Encode(r.Model(), text).Tokens
	tokens = tokens[:min(len(tokens), StoryTokens)]

	h := sha256.New()
	var buf []byte
	floats := func(xs []float32) {
		buf = buf[:0]
		for _, x := range xs {
			buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(x))
		}
		h.Write(buf)
	}
	h.Write([]byte("limbic hash 1\n"))
	for _, n := range []int{len(tokens), c.Blocks, c.Width, c.Vocabulary} {
		buf = binary.LittleEndian.AppendUint32(buf, uint32(n))
	}
	for _, id := range token.IDs(tokens) {
		buf = binary.LittleEndian.AppendUint32(buf, uint32(id))
	}
	h.Write(buf)

	var sites []llama.Site
	for b := range c.Blocks {
		sites = append(sites, llama.Site{Point: llama.ResidPost, Block: b})
	}
	hook := &llama.Hook{Name: "hash", Sites: sites, Func: func(v *llama.View) error {
		for i := range v.Len() {
			floats(v.At(i))
		}
		return nil
	}}
	s := r.NewSequence()
	defer s.Close()
	// One chunk: sites then come in the order of the layout above.
	if n := r.Options().BatchTokens; n < len(tokens) {
		return "", fmt.Errorf("demo: the hash needs %d tokens in one batch, the runner takes %d", len(tokens), n)
	}
	err = r.Forward(ctx, &llama.Pass{Spans: []llama.Span{{Seq: s, Tokens: tokens, Logits: llama.AllLogits}}, Hooks: []*llama.Hook{hook}})
	if err != nil {
		return "", err
	}
	for i := range tokens {
		floats(r.LogitsAt(0, i))
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// story is the text of the story of Hash.
func story() (string, error) {
	for _, s := range emotion.Embedded().StoriesOf(StoryEmotion) {
		if s.Topic == StoryTopic {
			return s.Text, nil
		}
	}
	return "", fmt.Errorf("demo: the corpus has no story of %q on %q", StoryEmotion, StoryTopic)
}
