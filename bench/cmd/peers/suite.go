package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/limbic-go/limbic/asm"
)

// A suite is a fixed list of sections, so that one command measures all that
// limbic sets itself as goals. It knows peers by their names:
//
//	llama       llama.cpp, built for this processor
//	llama-NAME  another build of it, such as one without AMX: processes prompts
//	ik          ik_llama.cpp, built for this processor
//	ik-NAME     another setting of it, such as "-rtr 1": generates
//	NAME-avx2   built for AVX2: stands beside limbic with its AVX2 kernels
type suite []part

// A part of a suite makes a section for each of its quantisations.
type part struct {
	title      string
	shape      string
	quants     []string
	test       test
	one        bool // on one thread
	precisions []string
	peers      []string // names, or beginnings of names that end in "-"
	avx2       bool
	rounds     int // at most; 0 for as many as asked for
	goals      []goal
}

// A goal is a ratio that limbic is to reach over an engine.
type goal struct {
	precision string
	over      string // the best of the peers whose names begin so
	least     float64
	// orMemory is the share of memory's bandwidth that is enough, too.
	orMemory float64
}

const large, small = "Llama-3.2-1B", "SmolLM2-135M"

var suites = map[string]suite{
	"full":  fullSuite(),
	"quick": quickSuite(),
}

// fullSuite is all goals.
func fullSuite() suite {
	native := []string{"llama", "llama-", "ik"}
	all := append(slices.Clone(native), "ik-")
	return suite{
		{
			title: "Prompts", shape: large, quants: []string{"Q4_K_M"}, test: test{kind: prompt, tokens: 512},
			precisions: []string{"fast", "probe", "exact"}, peers: native,
			goals: []goal{
				{precision: "fast", over: "llama", least: 2.2}, {precision: "fast", over: "ik", least: 1.2},
				{precision: "probe", over: "llama", least: 1.4}, {precision: "exact", over: "llama", least: 0.85},
			},
		},
		{
			title: "Prompts", shape: large, quants: []string{"Q8_0"}, test: test{kind: prompt, tokens: 512},
			precisions: []string{"fast", "probe"}, peers: native,
			goals: []goal{
				{precision: "fast", over: "llama", least: 2.2}, {precision: "fast", over: "ik", least: 1.2},
				{precision: "probe", over: "llama", least: 1.4},
			},
		},
		{
			title: "Prompts", shape: large, quants: []string{"Q5_K_M", "Q6_K"}, test: test{kind: prompt, tokens: 512},
			precisions: []string{"fast"}, peers: native,
			goals: []goal{{precision: "fast", over: "ik", least: 1.2}},
		},
		{
			title: "Generation", shape: large, quants: []string{"Q4_K_M", "Q6_K", "Q8_0"}, test: test{kind: generate, tokens: 64},
			precisions: []string{"fast"}, peers: []string{"llama", "ik", "ik-"},
			goals: []goal{{precision: "fast", over: "llama", least: 1.15}, {precision: "fast", over: "ik", least: 1}},
		},
		{
			title: "Generation on one thread", shape: large, quants: []string{"Q4_K_M"}, test: test{kind: generate, tokens: 64}, one: true,
			precisions: []string{"fast"}, peers: []string{"llama", "ik", "ik-"},
			goals: []goal{{precision: "fast", over: "llama", least: 1.4, orMemory: 0.85}, {precision: "fast", over: "ik", least: 1.4, orMemory: 0.85}},
		},
		{
			title: "Extraction", shape: large, quants: []string{"Q4_K_M"}, test: test{kind: extract, tokens: 120, texts: 16},
			precisions: []string{"probe"}, peers: []string{"llama"},
			goals: []goal{{precision: "probe", over: "llama", least: 2}},
		},
		{
			title: "A small model", shape: small, quants: []string{"Q8_0"}, test: test{kind: prompt, tokens: 512},
			precisions: []string{"fast"}, peers: all,
			goals: []goal{{precision: "fast", over: "ik", least: 1.3}},
		},
		{
			title: "A small model", shape: small, quants: []string{"Q8_0"}, test: test{kind: generate, tokens: 64},
			precisions: []string{"fast"}, peers: all,
			goals: []goal{{precision: "fast", over: "ik", least: 1.2}},
		},
		{
			title: "AVX2 only", shape: large, quants: []string{"Q4_K_M"}, test: test{kind: prompt, tokens: 512}, avx2: true,
			precisions: []string{"fast"}, peers: []string{"llama", "ik"},
			goals: []goal{{precision: "fast", over: "llama", least: 1.3}},
		},
		{
			title: "AVX2 only", shape: large, quants: []string{"Q4_K_M"}, test: test{kind: generate, tokens: 64}, avx2: true,
			precisions: []string{"fast"}, peers: []string{"llama", "ik"},
			goals: []goal{{precision: "fast", over: "llama", least: 1.3}},
		},
		{
			title: "AVX2 only", shape: small, quants: []string{"Q8_0"}, test: test{kind: prompt, tokens: 512}, avx2: true,
			precisions: []string{"fast"}, peers: []string{"llama", "ik"},
			goals: []goal{{precision: "fast", over: "llama", least: 1.3}},
		},
		{
			title: "AVX2 only", shape: small, quants: []string{"Q8_0"}, test: test{kind: generate, tokens: 64}, avx2: true,
			precisions: []string{"fast"}, peers: []string{"llama", "ik"},
			goals: []goal{{precision: "fast", over: "llama", least: 1.3}},
		},
		{
			title: "Generation after a context", shape: large, quants: []string{"Q4_K_M"}, test: test{kind: generate, tokens: 32, depth: 512},
			precisions: []string{"fast"}, peers: []string{"llama", "ik"},
		},
		{
			title: "Generation after a context", shape: large, quants: []string{"Q4_K_M"}, test: test{kind: generate, tokens: 32, depth: 4096},
			precisions: []string{"fast"}, peers: []string{"llama", "ik"}, rounds: 3,
		},
		{
			title: "Load to first token", shape: large, quants: []string{"Q4_K_M"}, test: test{kind: load, tokens: 1},
			precisions: []string{"fast"}, peers: []string{"llama", "ik", "ik-"},
		},
	}
}

// quickSuite is what is worth a look after each change.
func quickSuite() suite {
	var s suite
	for _, p := range fullSuite() {
		switch p.title {
		case "Prompts", "Generation":
			p.quants = slices.DeleteFunc(slices.Clone(p.quants), func(q string) bool { return q != "Q4_K_M" && q != "Q8_0" })
			p.precisions = p.precisions[:1]
			p.goals = slices.DeleteFunc(slices.Clone(p.goals), func(g goal) bool { return g.precision != p.precisions[0] })
		case "A small model":
		default:
			continue
		}
		if len(p.quants) > 0 {
			s = append(s, p)
		}
	}
	return s
}

// sections are those of a suite, for the first limbic and the peers given.
func (u suite) sections(engines []engine, dir string, threads int) ([]*section, error) {
	at := slices.IndexFunc(engines, func(e engine) bool { return e.limbic })
	if at < 0 {
		return nil, fmt.Errorf("a suite needs -limbic NAME=PATH")
	}
	limbic := engines[at]
	var sections []*section
	for _, p := range u {
		var own, peers []engine
		for _, precision := range p.precisions {
			e := limbic.with(limbic.name+" "+precision, "--precision", precision)
			if p.avx2 {
				e.env = []string{asm.Environment + "=avx2"}
			}
			own = append(own, e)
		}
		for _, e := range engines {
			if !e.limbic && p.takes(e.name) {
				peers = append(peers, e)
			}
		}
		if p.avx2 && len(peers) == 0 {
			continue
		}
		for _, q := range p.quants {
			s := &section{
				Title: p.title, Model: filepath.Join(dir, p.shape+"-"+q+".gguf"), Threads: threads, Test: p.test.String(),
				test: p.test, rounds: p.rounds, avx2: p.avx2,
			}
			if p.one {
				s.Threads = 1
			}
			for _, g := range p.goals {
				g.precision = limbic.name + " " + g.precision
				s.goals = append(s.goals, g)
			}
			s.engines = append(slices.Clone(own), peers...)
			sections = append(sections, s)
		}
	}
	return sections, nil
}

// takes reports whether a peer of this name takes part.
func (p *part) takes(name string) bool {
	base, avx2 := strings.CutSuffix(name, "-avx2")
	if avx2 != p.avx2 {
		return false
	}
	return slices.ContainsFunc(p.peers, func(q string) bool {
		return base == q || strings.HasSuffix(q, "-") && strings.HasPrefix(base, q)
	})
}
