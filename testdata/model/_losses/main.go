// Command _losses measures how well models predict the stories on the six unseen
// topics, beside what words alone and chance give.
//
//	go run ./testdata/model/_losses MODEL.gguf [MODEL.gguf …]
//
// It prints JSON: for each model the mean negative log-likelihood in nats a token over
// all stories on the topics that the embedded model was not trained on; the same
// stories with their words in random order, as a control; a unigram model of the
// stories on the other topics in the same tokens (add-one smoothing), which is the bag
// of words; and ln(vocabulary), which is chance.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"

	"github.com/limbic-go/limbic/demo"
	"github.com/limbic-go/limbic/emotion"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/probe"
)

// losses of one model, in nats a token.
type losses struct {
	Model    string  `json:"model"`
	Unseen   float64 `json:"unseen_topics"`
	StdErr   float64 `json:"unseen_topics_standard_error"` // over stories
	Seen     float64 `json:"seen_topics_sample"`           // every third story the model was trained on
	Shuffled float64 `json:"unseen_topics_words_shuffled"`
	Unigram  float64 `json:"unigram"`
	Chance   float64 `json:"chance"`
	Tokens   int     `json:"tokens"`
}

func main() {
	log.SetFlags(0)
	for _, path := range os.Args[1:] {
		l, err := measure(context.Background(), path)
		if err != nil {
			log.Fatal(err)
		}
		if err := json.NewEncoder(os.Stdout).Encode(l); err != nil {
			log.Fatal(err)
		}
	}
}

func measure(ctx context.Context, path string) (losses, error) {
	m, err := llama.Open(path)
	if err != nil {
		return losses{}, err
	}
	defer m.Close()
	r, err := m.NewRunner(llama.RunnerOptions{})
	if err != nil {
		return losses{}, err
	}
	defer r.Close()
	v := m.Config().Vocabulary
	counts := make([]float64, v)
	total := float64(v)
	for i := range counts {
		counts[i] = 1
	}
	var unseen, seen, shuffled []string
	rng := rand.New(rand.NewPCG(1, 0))
	for _, s := range emotion.Embedded().Stories {
		if !slices.Contains(demo.UnseenTopics(), s.Topic) {
			seen = append(seen, s.Text)
			continue
		}
		unseen = append(unseen, s.Text)
		w := strings.Fields(s.Text)
		rng.Shuffle(len(w), func(i, j int) { w[i], w[j] = w[j], w[i] })
		shuffled = append(shuffled, strings.Join(w, " "))
	}
	for _, t := range seen {
		for _, tok := range tokens(m, t) {
			counts[tok.ID]++
			total++
		}
	}
	l := losses{Model: path, Chance: math.Log(float64(v))}
	var unigram float64
	for _, t := range unseen {
		for _, tok := range tokens(m, t) {
			unigram -= math.Log(counts[tok.ID] / total)
			l.Tokens++
		}
	}
	l.Unigram = unigram / float64(l.Tokens)
	if l.Unseen, l.StdErr, err = mean(ctx, r, unseen); err != nil {
		return l, err
	}
	if l.Shuffled, _, err = mean(ctx, r, shuffled); err != nil {
		return l, err
	}
	var third []string
	for i := 0; i < len(seen); i += 3 {
		third = append(third, seen[i])
	}
	l.Seen, _, err = mean(ctx, r, third)
	return l, err
}

// tokens of a text, without BOS.
func tokens(m *llama.Model, text string) []token.Token {
	t := probe.Encode(m, text).Tokens
	if bos, ok := m.Tokenizer().BOS(); ok && len(t) > 0 && t[0].ID == bos {
		t = t[1:]
	}
	return t
}

// mean is the loss a token over texts, each read from its beginning, and the standard
// error of the mean over texts.
func mean(ctx context.Context, r *llama.Runner, texts []string) (m, se float64, err error) {
	var sum float64
	var n int
	each := make([]float64, len(texts))
	for i, t := range texts {
		p, err := llama.Perplexity(ctx, r, tokens(r.Model(), t), llama.PerplexityOptions{})
		if err != nil {
			return 0, 0, fmt.Errorf("story %d: %w", i, err)
		}
		sum += p.NLL * float64(p.Tokens)
		n += p.Tokens
		each[i] = p.NLL
	}
	m = sum / float64(n)
	var ss float64
	for _, x := range each {
		ss += (x - m) * (x - m)
	}
	return m, math.Sqrt(ss/float64(len(each)-1)) / math.Sqrt(float64(len(each))), nil
}
