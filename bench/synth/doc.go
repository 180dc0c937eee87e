// Package synth writes GGUF models with random weights: the shape, the
// quantisation and the speed of a real model, without having to download one
// or to run another project's quantiser.
//
// The weights of a matrix with rows of n elements have mean 0 and standard
// deviation 1/√n, so that activations stay finite through all blocks and logits
// have a standard deviation of about 1. What such a model writes is noise.
//
// Quants are random bits, which are valid in every format; what gives the
// weights their size, the scales, is then set in each block. Speed does not
// depend on whether a quantiser chose the quants.
package synth
