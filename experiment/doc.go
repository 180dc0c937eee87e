// Package experiment holds the experiments of the study of emotion concepts,
// each beside its controls.
//
// Identify asks how often vectors find the emotion of stories on topics that
// they were not built from, and whether they find it more often than chance,
// than the words of the stories alone, than their style, and than the model's
// own token embeddings.
//
// Geometry describes how emotion vectors lie to each other: principal components
// and their correlation with people's ratings, clusters, neighbours, and how far
// sites agree, beside the same figures of the stories' words, style and token
// embeddings, of random vectors and of shuffled labels.
//
// An experiment draws its random numbers from one seed. Results repeat exactly
// on one machine, and between machines to about 1e-9.
package experiment
