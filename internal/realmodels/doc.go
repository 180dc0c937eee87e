// Package realmodels holds tests on published models, which are too large for
// the repository, and nothing else.
//
//	LIMBIC_TEST_MODELS=DIR go test ./internal/realmodels
//
// runs them over the files DIR/*.gguf. Of the files that testdata/real knows, by
// their hash, perplexity, answers and tokens are compared with what PyTorch gives;
// the others are run and compared with themselves. testdata/real/README.md says
// which models those are and where they can be had.
package realmodels
