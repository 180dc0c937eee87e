package steer

import (
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/probe"
)

// A Control is a kind of random direction to compare an emotion's vector with.
// All are scaled to length 1, so that what is added has the vector's length.
type Control string

// The controls, from the weakest to the hardest to tell from an emotion.
const (
	// Isotropic directions know nothing of the model: see RandomDirections.
	Isotropic Control = "isotropic"
	// Coordinates are the emotion's own coordinates in a random order: see
	// Permuted.
	Coordinates Control = "coordinates"
	// Covariance directions vary as the stories' means do: random mixtures of
	// their deviations from the mean.
	Covariance Control = "covariance"
	// Labels are vectors of the emotion by the same recipe, from stories whose
	// emotions were shuffled.
	Labels Control = "labels"
)

// Controls lists the kinds.
func Controls() []Control { return []Control{Isotropic, Coordinates, Covariance, Labels} }

// ParseControl reads a kind's name.
func ParseControl(s string) (Control, error) {
	for _, c := range Controls() {
		if strings.EqualFold(string(c), s) {
			return c, nil
		}
	}
	return "", fmt.Errorf("steer: unknown control %q (known: isotropic, coordinates, covariance, labels)", s)
}

// NeedsStories reports whether the kind is made of the stories' own means.
func (c Control) NeedsStories() bool { return c == Covariance || c == Labels }

// A ControlSource is what controls are made of.
type ControlSource struct {
	// Vectors and Form say which vectors are controlled for, at Site.
	Vectors *probe.Vectors
	Form    probe.Form
	Site    llama.Site
	// Emotion is the index of the emotion.
	Emotion int
	// Stories are the means that the vectors were built from, at the same
	// site; for kinds that need them.
	Stories *probe.StoryFile
}

// Directions makes n controls of a kind. Control i depends on the source, seed
// and i alone.
func (s *ControlSource) Directions(kind Control, seed uint64, n int) ([][]float32, error) {
	if kind.NeedsStories() {
		if err := s.checkStories(); err != nil {
			return nil, err
		}
	}
	v, err := s.Vectors.Vector(s.Site, s.Form, s.Emotion)
	if err != nil {
		return nil, err
	}
	directions := make([][]float32, n)
	for i := range directions {
		src := rand.NewPCG(seed, uint64(i))
		switch kind {
		case Isotropic:
			return RandomDirections(seed, n, s.Vectors.Width), nil
		case Coordinates:
			directions[i] = probe.Unit(Permuted(v, src.Uint64()))
		case Covariance:
			directions[i] = s.mixture(src)
		case Labels:
			if directions[i], err = s.shuffled(src); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("steer: unknown control %q", kind)
		}
	}
	return directions, nil
}

func (s *ControlSource) checkStories() error {
	switch f := s.Stories; {
	case f == nil:
		return errors.New("steer: this control is made of the stories' means, which are missing: they are written beside the vectors")
	case f.Provenance.MeansSHA256 != s.Vectors.Provenance.MeansSHA256:
		return fmt.Errorf("steer: the stories' means are not those of the vectors: means_sha256 is %s, the vectors' %s", f.Provenance.MeansSHA256, s.Vectors.Provenance.MeansSHA256)
	case f.Site != s.Site:
		return fmt.Errorf("steer: the stories' means are of %v, the vector of %v", f.Site, s.Site)
	}
	return nil
}

// mixture adds the deviations of all stories from their mean with Gaussian
// weights: a Gaussian vector with the stories' covariance.
func (s *ControlSource) mixture(src *rand.PCG) []float32 {
	f := s.Stories
	n := len(f.Emotion)
	mean, sum := make([]float64, f.Width), make([]float64, f.Width)
	for at := 0; at < len(f.Means); at += f.Width {
		for i, x := range f.Means[at : at+f.Width] {
			mean[i] += float64(x) / float64(n)
		}
	}
	g := gaussian{src: src}
	for at := 0; at < len(f.Means); at += f.Width {
		weight := g.next()
		for i, x := range f.Means[at : at+f.Width] {
			sum[i] += float64(weight * (float64(x) - mean[i]))
		}
	}
	direction := make([]float32, f.Width)
	for i, x := range sum {
		direction[i] = float32(x)
	}
	return probe.Unit(direction)
}

// shuffled is the emotion's vector after the emotions were dealt to the stories
// anew.
func (s *ControlSource) shuffled(src *rand.PCG) ([]float32, error) {
	labels := slices.Clone(s.Stories.Emotion)
	for i := len(labels) - 1; i > 0; i-- {
		j, _ := bits.Mul64(src.Uint64(), uint64(i)+1)
		labels[i], labels[j] = labels[j], labels[i]
	}
	return s.relabelled(labels)
}

// relabelled is the emotion's unit vector from stories with the given emotions.
// Hands stay with their stories, and the neutral components removed are those
// of the vectors.
func (s *ControlSource) relabelled(emotions []int) ([]float32, error) {
	f := s.Stories
	site, err := s.Vectors.At(s.Site)
	if err != nil {
		return nil, err
	}
	samples := probe.Samples{
		Site: s.Site, Width: f.Width, Emotions: len(f.Emotions), Hands: 1,
		Emotion: emotions, Hand: make([]int, len(f.Emotion)), Means: f.Means,
		Basis: append([]float32{}, site.Basis...),
	}
	if s.Vectors.Provenance.Hands {
		samples.Hands, samples.Hand = len(f.Writers), f.Writer
	}
	derived, err := samples.Derive()
	if err != nil {
		return nil, err
	}
	return probe.Unit(derived.ByForm[s.Form][s.Emotion*f.Width:][:f.Width]), nil
}
