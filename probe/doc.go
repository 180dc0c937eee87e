// Package probe finds emotion vectors in a language model and reads
// activations with them.
//
// Build runs a corpus of stories through a model and pools what it sees: for
// each site, the mean residual stream of every story, of every emotion, and of
// neutral texts. From these come, for each emotion,
//
//   - the raw mean: the mean of its stories' means,
//   - the contrast vector: the mean of the emotion, centred within the hands
//     that wrote the stories (where CentringHands allows it), minus the mean
//     over emotions,
//   - the denoised vector: the contrast without the leading principal
//     components of neutral texts.
//
// A Reader scores activations with those vectors, token by token.
//
// # What repeats to the bit
//
// Sums run in fixed point (see Fixed), so that raw means do not depend on the
// order of stories, on interruptions or on the machine. Contrast vectors come
// from them by float64 additions and divisions in a fixed order. Denoised
// vectors involve an eigendecomposition by a numerical library and agree
// between machines to about 1e-9 of their norm.
package probe
