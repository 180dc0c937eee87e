package llama

import (
	"maps"
	"slices"
	"strings"
)

// An architecture says in which ways the models of a GGUF architecture differ
// from Llama's: blocks of RMS norm, attention with rotated queries and keys,
// RMS norm and a gated feed-forward layer, each half added to the residual
// stream. The zero value is Llama itself, without mixtures of experts. Numbers
// are what a file means that does not state them.
//
// Optional tensors need no word here: biases, a separate output matrix, fused
// projections and factors on rotary frequencies are used where a file has them.
type architecture struct {
	// Norms.
	noPreNorm bool // attention and feed-forward layer read the stream itself
	postNorm  bool // what they add to the stream is normalised first
	qkNorm    norm // of queries and keys, before they are rotated

	// Attention.
	qkvBias     bool // queries, keys and values must have biases
	window      int  // size of a sliding window
	globalEvery int  // of so many blocks, the last one sees everything; 0: it is not known which do
	// The size with so many blocks scales scores by 1/√(width/heads), the others
	// by 1/√(head size).
	widthScaled  int
	attentionCap float64 // soft bound of the scores; 0 is none

	// Rotation.
	halves      bool    // dimension i turns with i + d/2, not 2i with 2i+1
	noRopeEvery int     // of so many blocks, the last one does not rotate; 0: all do
	localPlain  bool    // blocks with a window rotate without any scaling
	localBase   float64 // base of blocks with a window; 0 means that of the others
	ropeSwitch  bool    // rope.scaling.finetuned = false means no rotation at all

	// The rest.
	gelu           bool    // the gate is a GELU instead of a SiLU
	experts        bool    // the feed-forward layer may be a mixture of experts
	scaleEmbedding bool    // embeddings are multiplied by √width
	scales         bool    // the file states factors on embeddings, additions and logits
	logitCap       float64 // soft bound of the logits; 0 is none
}

// A norm says what of the queries and keys of a position is normalised together.
type norm uint8

const (
	noNorm   norm = iota
	headNorm      // each head, with the same weights
	rowNorm       // all heads
)

// noGlobal is a globalEvery that no block number reaches: all have the window.
const noGlobal = maxBlocks + 1

// architectures lists what Forward can run, by general.architecture. An
// architecture is data and a few switches; the forward pass is one.
var architectures = map[string]architecture{
	// Also Mixtral. Mistral 7B 0.1 has a window in every block.
	"llama": {experts: true, globalEvery: noGlobal},

	"qwen2":    {halves: true, qkvBias: true},
	"qwen3":    {halves: true, qkNorm: headNorm},
	"qwen3moe": {halves: true, qkNorm: headNorm, experts: true},

	"gemma2": {halves: true, postNorm: true, gelu: true, scaleEmbedding: true,
		window: 4096, globalEvery: 2, widthScaled: 46, attentionCap: 50, logitCap: 30},
	"gemma3": {halves: true, postNorm: true, gelu: true, scaleEmbedding: true, qkNorm: headNorm,
		globalEvery: 6, widthScaled: 62, localPlain: true, localBase: 10000},

	"phi3": {halves: true, globalEvery: noGlobal},

	"smollm3": {noRopeEvery: 4},
	"granite": {scales: true, ropeSwitch: true},

	// Also OLMo 3, which has windows.
	"olmo2": {halves: true, noPreNorm: true, postNorm: true, qkNorm: rowNorm, globalEvery: 4, localPlain: true},
}

// Architectures lists the values of general.architecture that Open accepts, in
// alphabetical order.
func Architectures() []string { return slices.Sorted(maps.Keys(architectures)) }

func supportedArchitectures() string { return strings.Join(Architectures(), ", ") }
