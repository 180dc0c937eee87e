// Package llama runs Llama-style language models from GGUF files, and lets
// hooks read and edit the residual stream while it does.
//
// A Model holds immutable weights. A Runner owns the threads and buffers of
// forward passes. A Sequence is a text being processed: its tokens and their
// keys and values. Forward advances any number of sequences by any number of
// tokens each, with no padding anywhere:
//
//	m, err := llama.Open("model.gguf")
//	r, err := m.NewRunner(llama.RunnerOptions{})
//	s := r.NewSequence()
//	err = r.Forward(ctx, &llama.Pass{
//		Spans: []llama.Span{{Seq: s, Tokens: tokens, Logits: llama.LastLogits}},
//		Hooks: []*llama.Hook{hook},
//	})
//	logits := r.Logits(0)
//
// # Numbers
//
// For a given model file, tokens and effective edits, every float that leaves
// the engine has the same bits on every processor, for any number of threads,
// whatever else is in the pass, however the tokens were split over passes,
// and with or without hooks that only read.
package llama
