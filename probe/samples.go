package probe

import (
	"fmt"

	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/tensor/safetensors"
)

// Samples are pooled means of single stories at one site, with what is needed
// to derive vectors from them as Build does.
type Samples struct {
	Site  llama.Site
	Width int
	// Emotions and Hands are how many there are. Hand 0 stands for stories
	// whose writer is not known. With one hand alone nothing is centred within
	// hands.
	Emotions, Hands int
	// Emotion and Hand say what each story is.
	Emotion, Hand []int
	// Means is [stories, width].
	Means []float32
	// Neutral holds the means of neutral texts; it may be empty.
	Neutral [][]float32
	// Threshold is the share of neutral variance whose principal components
	// are removed from the contrast vectors; 0 removes none.
	Threshold float64
	// Basis, if not nil, is removed in place of those components: orthonormal
	// rows [k, width].
	Basis []float32
}

// Derive computes a site's vectors from samples by the recipe of Build. The
// calibration of norms is empty.
func (s *Samples) Derive() (SiteVectors, error) {
	n := len(s.Emotion)
	switch {
	case s.Width <= 0 || s.Emotions <= 0 || s.Hands <= 0:
		return SiteVectors{}, fmt.Errorf("probe: samples of width %d for %d emotions and %d hands", s.Width, s.Emotions, s.Hands)
	case len(s.Hand) != n || len(s.Means) != n*s.Width:
		return SiteVectors{}, fmt.Errorf("probe: samples with %d emotions, %d hands and %d means of width %d", n, len(s.Hand), len(s.Means)/s.Width, s.Width)
	case len(s.Basis)%s.Width != 0:
		return SiteVectors{}, fmt.Errorf("probe: a basis of %d elements for width %d", len(s.Basis), s.Width)
	}
	sums := siteSums{byHand: make([][]Sum, s.Emotions), texts: s.Neutral}
	for e := range sums.byHand {
		sums.byHand[e] = make([]Sum, s.Hands)
	}
	for i, e := range s.Emotion {
		h := s.Hand[i]
		if e < 0 || e >= s.Emotions || h < 0 || h >= s.Hands {
			return SiteVectors{}, fmt.Errorf("probe: sample %d is of emotion %d of %d by hand %d of %d", i, e, s.Emotions, h, s.Hands)
		}
		if err := sums.byHand[e][h].Add(s.Means[i*s.Width:][:s.Width]); err != nil {
			return SiteVectors{}, err
		}
	}
	for i, t := range s.Neutral {
		if len(t) != s.Width {
			return SiteVectors{}, fmt.Errorf("probe: neutral text %d has width %d, want %d", i, len(t), s.Width)
		}
		if err := sums.neutral.Add(t); err != nil {
			return SiteVectors{}, err
		}
	}
	v, err := sums.derive(s.Width, s.Threshold, s.Hands > 1)
	if err != nil {
		return v, err
	}
	v.Site = s.Site
	if s.Basis != nil {
		v.Basis, v.Shares = s.Basis, nil
		v.ByForm[Denoised] = without(v.ByForm[Contrast], v.Basis, s.Width)
		v.ByForm[PlainDenoised] = without(v.ByForm[PlainContrast], v.Basis, s.Width)
	}
	p := newProjections(v.ByForm[Denoised], s.Width)
	for i := range n {
		p.add(i, s.Means[i*s.Width:][:s.Width])
	}
	v.ProjectionMean, v.ProjectionSD = p.moments()
	return v, nil
}

// StoryFile is the sidecar of a vectors file, read back.
type StoryFile struct {
	Provenance Provenance
	Site       llama.Site
	Width      int
	// Emotions, Topics and Writers are names; the first writer is "", for
	// stories whose writer is not known.
	Emotions, Topics, Writers []string
	// Emotion, Topic and Writer index them, one for each story that was long
	// enough to pool, in the order of the corpus.
	Emotion, Topic, Writer []int
	// Index says which story each is of the corpus that the vectors were
	// built from, the one with the hash Provenance.Corpus.
	Index []int
	// Means is [stories, width].
	Means []float32
}

// LoadStories reads the story means that Build wrote beside a vectors file
// (see SidecarPath) and checks them. Its errors name the file and the tensor
// or field.
func LoadStories(path string) (*StoryFile, error) {
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s, err := decodeStories(f)
	if err != nil {
		return nil, fmt.Errorf("probe: %s: %w", path, err)
	}
	return s, nil
}

func decodeStories(f *safetensors.File) (*StoryFile, error) {
	h, err := readHeader[storiesHeader](f, storiesFormat)
	if err != nil {
		return nil, err
	}
	if h.Provenance.Blocks <= 0 {
		return nil, fmt.Errorf("provenance: a model of %d blocks", h.Provenance.Blocks)
	}
	s := &StoryFile{Provenance: h.Provenance, Emotions: h.Emotions, Topics: h.Topics, Writers: h.Writers}
	if s.Site, err = llama.ParseSite(h.Site, h.Provenance.Blocks); err != nil {
		return nil, err
	}
	name := s.Site.Key() + "/story_mean"
	info, err := f.Info(name)
	if err != nil {
		return nil, err
	}
	if len(info.Shape) != 2 || info.Shape[1] <= 0 {
		return nil, fmt.Errorf("tensor %q has shape %v, want [stories, width]", name, info.Shape)
	}
	n := info.Shape[0]
	s.Width = info.Shape[1]
	r := tensorReader{file: f}
	if s.Means = r.read(name, n, s.Width); r.err != nil {
		return nil, r.err
	}
	for _, c := range []struct {
		name  string
		names []string
		out   *[]int
	}{
		{"story_emotion", s.Emotions, &s.Emotion},
		{"story_topic", s.Topics, &s.Topic},
		{"story_writer", s.Writers, &s.Writer},
	} {
		x, err := f.Int64s(c.name)
		if err != nil {
			return nil, err
		}
		if len(x) != n {
			return nil, fmt.Errorf("tensor %q has %d elements for %d stories", c.name, len(x), n)
		}
		for i, k := range x {
			if k < 0 || k >= int64(len(c.names)) {
				return nil, fmt.Errorf("tensor %q: element %d is %d of %d names", c.name, i, k, len(c.names))
			}
			*c.out = append(*c.out, int(k))
		}
	}
	index, err := f.Int64s("story_index")
	if err != nil {
		return nil, err
	}
	if len(index) != n {
		return nil, fmt.Errorf("tensor %q has %d elements for %d stories", "story_index", len(index), n)
	}
	last := int64(-1)
	for i, k := range index {
		if k <= last {
			return nil, fmt.Errorf("tensor %q: element %d is %d after %d: stories are in the order of the corpus", "story_index", i, k, last)
		}
		s.Index = append(s.Index, int(k))
		last = k
	}
	return s, nil
}
