package llama

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/limbic-go/limbic/asm"
)

// Sampling says how the next token is chosen. The zero value is greedy: the
// greatest logit, the lowest id among equals.
//
// The steps apply in this order: repetition penalty, top-k, top-p, min-p,
// temperature, draw. Equal logits are ordered by id, all sums run in that
// order, and the draw comes from a generator seeded with Seed and the stream,
// so that a sample has the same bits everywhere.
type Sampling struct {
	// Temperature divides the logits; 0 is greedy.
	Temperature float32
	// TopK keeps the k likeliest tokens; 0 keeps all.
	TopK int
	// TopP keeps the fewest likeliest tokens whose probabilities reach p; 0
	// and 1 keep all.
	TopP float32
	// MinP keeps tokens at least p times as likely as the likeliest; 0 keeps
	// all.
	MinP float32
	// RepeatPenalty divides the positive and multiplies the negative logits of
	// tokens among the last RepeatLast; 0 and 1 do nothing (Keskar et al.,
	// "CTRL", 2019).
	RepeatPenalty float32
	// RepeatLast is how many tokens back the penalty looks; 0 means 64.
	RepeatLast int
	// Seed of the generator.
	Seed uint64
}

func (s Sampling) check() error {
	switch {
	case !(s.Temperature >= 0) || s.Temperature > 1e6:
		return fmt.Errorf("llama: temperature %v is not between 0 and 1e6", s.Temperature)
	case s.TopK < 0:
		return fmt.Errorf("llama: top-k %d is negative", s.TopK)
	case !(s.TopP >= 0 && s.TopP <= 1):
		return fmt.Errorf("llama: top-p %v is not between 0 and 1", s.TopP)
	case !(s.MinP >= 0 && s.MinP <= 1):
		return fmt.Errorf("llama: min-p %v is not between 0 and 1", s.MinP)
	case !(s.RepeatPenalty >= 0) || s.RepeatPenalty > 1e6:
		return fmt.Errorf("llama: repetition penalty %v is not between 0 and 1e6", s.RepeatPenalty)
	case s.RepeatLast < 0:
		return fmt.Errorf("llama: repetition window %d is negative", s.RepeatLast)
	}
	return nil
}

// A Sampler chooses tokens. Each sequence needs one of its own.
type Sampler struct {
	s          Sampling
	rng        *rand.Rand
	candidates []candidate
	recent     []int32
}

type candidate struct {
	id    int32
	logit float32
	p     float32 // unnormalised probability
}

// NewSampler makes the sampler of one sequence; stream tells the samplers of
// one seed apart.
func NewSampler(s Sampling, stream uint64) (*Sampler, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	if s.RepeatLast == 0 {
		s.RepeatLast = 64
	}
	return &Sampler{s: s, rng: rand.New(rand.NewPCG(s.Seed, stream))}, nil
}

// Accept tells the sampler of a token that it did not choose, such as one of
// the prompt, for the repetition penalty.
func (s *Sampler) Accept(id int32) {
	s.recent = append(s.recent, id)
	if n := len(s.recent); n > 2*s.s.RepeatLast {
		s.recent = append(s.recent[:0], s.recent[n-s.s.RepeatLast:]...)
	}
}

// Next chooses a token by its logits and remembers it. The logits are not
// changed.
func (s *Sampler) Next(logits []float32) int32 {
	id := s.choose(logits)
	s.Accept(id)
	return id
}

func (s *Sampler) choose(logits []float32) int32 {
	penalise := s.s.RepeatPenalty > 0 && s.s.RepeatPenalty != 1
	if s.s.Temperature == 0 && !penalise {
		return argmax(logits)
	}
	cs := s.candidates[:0]
	for id, l := range logits {
		cs = append(cs, candidate{id: int32(id), logit: l})
	}
	s.candidates = cs
	if penalise {
		for i, id := range s.recent[max(0, len(s.recent)-s.s.RepeatLast):] {
			window := s.recent[max(0, len(s.recent)-s.s.RepeatLast):]
			if slices.Contains(window[:i], id) || int(id) >= len(cs) {
				continue // once is enough
			}
			if c := &cs[id]; c.logit > 0 {
				c.logit /= s.s.RepeatPenalty
			} else {
				c.logit *= s.s.RepeatPenalty
			}
		}
	}
	slices.SortFunc(cs, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.logit, a.logit), cmp.Compare(a.id, b.id))
	})
	if s.s.Temperature == 0 {
		return cs[0].id
	}
	if s.s.TopK > 0 && s.s.TopK < len(cs) {
		cs = cs[:s.s.TopK]
	}
	if s.s.TopP > 0 && s.s.TopP < 1 {
		target := s.s.TopP * weigh(cs, 1)
		reached := float32(0)
		for i := range cs {
			if reached += cs[i].p; reached >= target {
				cs = cs[:i+1]
				break
			}
		}
	}
	if s.s.MinP > 0 {
		weigh(cs, 1)
		for i := range cs {
			if cs[i].p < s.s.MinP { // the first has p = 1
				cs = cs[:i]
				break
			}
		}
	}
	// 24 random bits are a float32 below 1.
	draw := float32(s.rng.Uint64()>>40) / (1 << 24) * weigh(cs, s.s.Temperature)
	reached := float32(0)
	for i := range cs {
		if reached += cs[i].p; draw < reached {
			return cs[i].id
		}
	}
	return cs[len(cs)-1].id
}

// weigh sets the candidates' unnormalised probabilities at a temperature and
// gives their sum. The candidates are sorted; the first gets 1.
func weigh(cs []candidate, temperature float32) float32 {
	sum := float32(0)
	for i := range cs {
		cs[i].p = asm.Exp((cs[i].logit - cs[0].logit) / temperature)
		sum += cs[i].p
	}
	return sum
}

// argmax is the index of the greatest element, the lowest among equals.
func argmax(x []float32) int32 {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return int32(best)
}
