package llama

import (
	"fmt"
	"slices"
	"strings"

	"github.com/limbic-go/limbic/asm"
	"github.com/limbic-go/limbic/tensor"
)

// A mixture holds the buffers of mixtures of experts for a chunk of rows.
type mixture struct {
	scores  []float32 // [row][experts, padded]: the router's
	chosen  []int     // [row][used]: the experts of a row, lowest index first
	weights []float32 // [row][used]: what their outputs are multiplied with

	// The rows of one expert, one behind the other.
	rows    []int     // which they are
	shares  []float32 // their weights
	in, out []float32 // [row][width, padded]
}

func (m *mixture) resize(c *Config, n int) {
	m.scores = resize(m.scores, n*padded(c.Experts))
	m.weights = resize(m.weights, n*c.ExpertsUsed)
	if cap(m.chosen) < n*c.ExpertsUsed {
		m.chosen = make([]int, n*c.ExpertsUsed)
		m.rows = make([]int, 0, n)
	}
	m.chosen = m.chosen[:n*c.ExpertsUsed]
	m.shares = resize(m.shares, n)
	m.in = resize(m.in, n*padded(c.Width))
	m.out = resize(m.out, n*padded(c.Width))
}

// looseExperts reads the matrices of experts that have a tensor each, as the
// first files of Mixtral do: blk.0.ffn_gate.7.weight is what later files have in
// blk.0.ffn_gate_exps.weight. It reports whether the file has such.
func (l *loader) looseExperts(c *Config, stacked string, rows, cols int, set func(e int, x linear)) bool {
	name := func(e int) string { return fmt.Sprintf("%s.%d", strings.TrimSuffix(stacked, "_exps"), e) }
	if l.has(stacked+".weight") || !l.has(name(0)+".weight") {
		return false
	}
	for e := range c.Experts {
		set(e, l.linears(name(e), cols, rows)[0])
	}
	return true
}

// runExperts computes a mixture of experts (Shazeer et al., "Outrageously Large
// Neural Networks", 2017): for each row the softmax-weighted sum of the outputs
// of the experts that the router scores highest, from r.norm to r.out. The
// softmax is over those experts alone, which is the same as over all and
// rescaled to a sum of 1.
//
// Experts are added in the order of their indices, so that a row's sum does not
// depend on its company.
func (r *Runner) runExperts(w *block) error {
	c, m, n := &r.model.config, &r.mixture, len(r.rows)
	width := padded(c.Width)
	if err := r.mul.Mul(r.norm, width, n, tensor.Product{W: w.router, Y: m.scores}); err != nil {
		return err
	}
	r.eachRow(routeRow)
	clear(r.out[:n*width])
	for e := range w.experts {
		m.rows = m.rows[:0]
		for i := range n {
			for j, chosen := range m.chosen[i*c.ExpertsUsed:][:c.ExpertsUsed] {
				if chosen == e {
					m.shares[len(m.rows)] = m.weights[i*c.ExpertsUsed+j]
					copy(at(m.in, len(m.rows), c.Width), at(r.norm, i, c.Width))
					m.rows = append(m.rows, i)
				}
			}
		}
		if len(m.rows) == 0 {
			continue
		}
		if err := r.feedForward(&w.experts[e], m.in, len(m.rows), m.out); err != nil {
			return err
		}
		r.each(len(m.rows), addExpertRow)
	}
	return nil
}

// routeRow chooses a row's experts: those of the highest scores, of equal ones
// the lower index, in the order of indices.
func routeRow(r *Runner, i int) {
	c, m := &r.model.config, &r.mixture
	scores := at(m.scores, i, c.Experts)
	chosen := m.chosen[i*c.ExpertsUsed:][:0]
	for range c.ExpertsUsed {
		best := -1
		for e, s := range scores {
			if (best < 0 || s > scores[best]) && !slices.Contains(chosen, e) {
				best = e
			}
		}
		chosen = append(chosen, best)
	}
	slices.Sort(chosen)
	weights := m.weights[i*c.ExpertsUsed:][:c.ExpertsUsed]
	for j, e := range chosen {
		weights[j] = scores[e]
	}
	total := asm.ExpSum(weights, 1, asm.Max(weights))
	for _, s := range scores {
		total += s - s // not a number where a score is not: damage must not be hidden
	}
	for j := range weights {
		weights[j] /= total
	}
}

func addExpertRow(r *Runner, i int) {
	c, m := &r.model.config, &r.mixture
	asm.Axpy(at(r.out, m.rows[i], c.Width), at(m.out, i, c.Width), m.shares[i])
}
