package probe

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/limbic-go/limbic/emotion"
	"github.com/limbic-go/limbic/internal/atomicfile"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/tensor/safetensors"
)

// The file formats, as the metadata key "format" names them.
const (
	vectorsFormat = "limbic vectors 1"
	storiesFormat = "limbic stories 1"
)

// header is the metadata of a vectors file that is not in its tensors, as JSON
// under the key "limbic".
type header struct {
	Provenance Provenance   `json:"provenance"`
	Emotions   []string     `json:"emotions"`
	Width      int          `json:"width"`
	Counts     []int        `json:"counts"`
	MeanTokens []float64    `json:"mean_tokens"`
	Sites      []siteHeader `json:"sites"`
}

type siteHeader struct {
	Site   string      `json:"site"`
	Norm   Calibration `json:"norm"`
	Shares []float64   `json:"neutral_shares"`
}

// Compact gives the same vectors without what a file can do without: the forms
// that follow from others, to the bit, when the file is read (Denoised and
// PlainDenoised; PlainContrast too where it equals Contrast), and RawMean,
// which nothing reads or steers with and is then missing. It shares v's data.
func (v *Vectors) Compact() *Vectors {
	c := *v
	c.Sites = slices.Clone(v.Sites)
	for i := range c.Sites {
		s := &c.Sites[i]
		forms := map[Form][]float32{Contrast: s.ByForm[Contrast]}
		if v.Provenance.Hands {
			forms[PlainContrast] = s.ByForm[PlainContrast]
		}
		s.ByForm = forms
	}
	return &c
}

// Save writes the vectors to a safetensors file, which replaces path once it
// is complete. Equal vectors give equal bytes. The tensors of a site are named
// after it, such as "resid_post.10/contrast"; forms that the vectors do not
// have are left out.
func (v *Vectors) Save(path string) error {
	h := header{v.Provenance, v.Emotions, v.Width, v.Counts, v.MeanTokens, nil}
	var tensors []safetensors.Tensor
	for i := range v.Sites {
		s := &v.Sites[i]
		h.Sites = append(h.Sites, siteHeader{s.Site.String(), s.Norm, s.Shares})
		add := func(name string, data []float32, shape ...int) {
			tensors = append(tensors, safetensors.Tensor{Name: s.Site.Key() + "/" + name, Shape: shape, Data: data})
		}
		e := len(v.Emotions)
		for _, f := range Forms() {
			if m, ok := s.ByForm[f]; ok {
				add(string(f), m, e, v.Width)
			}
		}
		add("grand_mean", s.Grand, v.Width)
		for f, m := range s.NeutralMean { // one entry in this version
			add("neutral_mean."+string(f), m, v.Width)
		}
		add("neutral_basis", s.Basis, len(s.Basis)/v.Width, v.Width)
		add("projection_mean", s.ProjectionMean, e)
		add("projection_sd", s.ProjectionSD, e)
	}
	text, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("probe: %s: %w", path, err)
	}
	meta := map[string]string{"format": vectorsFormat, "limbic": string(text)}
	return atomicfile.Write(path, 0o666, func(w io.Writer) error { return safetensors.Write(w, meta, tensors) })
}

// Load reads a vectors file and checks it. Its errors name the file and the
// tensor or field.
func Load(path string) (*Vectors, error) {
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	v, err := decode(f)
	if err != nil {
		return nil, fmt.Errorf("probe: %s: %w", path, err)
	}
	return v, nil
}

// LoadFor is Load for vectors that a model is to be read or steered with: it
// refuses those of another model (see Vectors.CheckModel). The hash of the model's
// file is computed for that.
func LoadFor(ctx context.Context, path string, m *llama.Model) (*Vectors, error) {
	v, err := Load(path)
	if err != nil {
		return nil, err
	}
	sum, err := m.SHA256(ctx)
	if err != nil {
		return nil, err
	}
	if err := v.CheckModel(sum, m.Tokenizer().Hash(), m.Config().Width); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return v, nil
}

// Parse is Load for a file whose bytes are in memory; name stands for its path
// in errors. The vectors do not refer to the bytes.
func Parse(data []byte, name string) (*Vectors, error) {
	f, err := safetensors.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%w (in %s)", err, name)
	}
	v, err := decode(f)
	if err != nil {
		return nil, fmt.Errorf("probe: %s: %w", name, err)
	}
	return v, nil
}

func decode(f *safetensors.File) (*Vectors, error) {
	h, err := readHeader[header](f, vectorsFormat)
	if err != nil {
		return nil, err
	}
	v := &Vectors{Provenance: h.Provenance, Emotions: h.Emotions, Width: h.Width, Counts: h.Counts, MeanTokens: h.MeanTokens}
	e := len(v.Emotions)
	switch {
	case e == 0 || v.Width <= 0 || len(h.Sites) == 0:
		return nil, fmt.Errorf("%d emotions of width %d at %d sites", e, v.Width, len(h.Sites))
	case len(v.Counts) != e || len(v.MeanTokens) != e:
		return nil, fmt.Errorf("counts for %d emotions, lengths for %d, of %d", len(v.Counts), len(v.MeanTokens), e)
	case v.Provenance.Blocks <= 0:
		return nil, fmt.Errorf("provenance: a model of %d blocks", v.Provenance.Blocks)
	}
	for _, sh := range h.Sites {
		site, err := llama.ParseSite(sh.Site, v.Provenance.Blocks)
		if err != nil {
			return nil, err
		}
		s := SiteVectors{Site: site, ByForm: map[Form][]float32{}, NeutralMean: map[Format][]float32{}, Norm: sh.Norm, Shares: sh.Shares}
		r := tensorReader{file: f, prefix: site.Key() + "/"}
		s.Basis = r.read("neutral_basis", -1, v.Width)
		r.forms(&s, e, v.Width, v.Provenance.Hands)
		s.Grand = r.read("grand_mean", v.Width)
		for _, name := range f.Names() {
			if format, ok := strings.CutPrefix(name, r.prefix+"neutral_mean."); ok {
				s.NeutralMean[Format(format)] = r.read("neutral_mean."+format, v.Width)
			}
		}
		s.ProjectionMean = r.read("projection_mean", e)
		s.ProjectionSD = r.read("projection_sd", e)
		if r.err != nil {
			return nil, r.err
		}
		if n := s.Norm; !(n.Mean >= 0 && n.Median >= 0 && n.P99 >= 0 && n.N >= 0) {
			return nil, fmt.Errorf("%v: calibration %+v is negative", site, n)
		}
		if len(s.Basis)/v.Width > len(s.Shares) {
			return nil, fmt.Errorf("%v: %d neutral components with %d shares", site, len(s.Basis)/v.Width, len(s.Shares))
		}
		v.Sites = append(v.Sites, s)
	}
	return v, nil
}

// readHeader checks a file's format and decodes its JSON metadata.
func readHeader[T any](f *safetensors.File, format string) (T, error) {
	var h T
	meta := f.Metadata()
	if meta["format"] != format {
		return h, fmt.Errorf("not a file of the kind %q: its metadata says format %q", format, meta["format"])
	}
	if err := json.Unmarshal([]byte(meta["limbic"]), &h); err != nil {
		return h, fmt.Errorf("metadata %q: %w", "limbic", err)
	}
	return h, nil
}

// A tensorReader reads tensors of one site and remembers the first error.
type tensorReader struct {
	file   *safetensors.File
	prefix string
	err    error
}

// forms reads the forms of a site's vectors, and derives those that the file
// leaves out (see Vectors.Compact). The site's basis must be there.
func (r *tensorReader) forms(s *SiteVectors, emotions, width int, hands bool) {
	for _, form := range Forms() {
		if _, err := r.file.Info(r.prefix + string(form)); err == nil {
			s.ByForm[form] = r.read(string(form), emotions, width)
		}
	}
	// Reading what is not there says so.
	if s.ByForm[Contrast] == nil {
		s.ByForm[Contrast] = r.read(string(Contrast), emotions, width)
	}
	switch {
	case s.ByForm[PlainContrast] != nil:
	case hands:
		s.ByForm[PlainContrast] = r.read(string(PlainContrast), emotions, width)
	default:
		s.ByForm[PlainContrast] = s.ByForm[Contrast]
	}
	if r.err != nil {
		return
	}
	for denoised, from := range map[Form]Form{Denoised: Contrast, PlainDenoised: PlainContrast} {
		if s.ByForm[denoised] == nil {
			s.ByForm[denoised] = without(s.ByForm[from], s.Basis, width)
		}
	}
}

// read gives a tensor of float32 of the given shape; -1 stands for any length.
func (r *tensorReader) read(name string, shape ...int) []float32 {
	name = r.prefix + name
	if r.err != nil {
		return nil
	}
	info, err := r.file.Info(name)
	if err != nil {
		r.err = err
		return nil
	}
	ok := len(info.Shape) == len(shape)
	for i := range shape {
		ok = ok && (shape[i] < 0 || info.Shape[i] == shape[i])
	}
	if !ok {
		r.err = fmt.Errorf("tensor %q has shape %v, want %v", name, info.Shape, shape)
		return nil
	}
	x, err := r.file.Float32s(name)
	if err != nil {
		r.err = err
		return nil
	}
	for i, v := range x {
		if v-v != 0 {
			r.err = fmt.Errorf("tensor %q: element %d is %v", name, i, v)
			return nil
		}
	}
	return x
}

// storiesHeader is the metadata of a sidecar.
type storiesHeader struct {
	Provenance Provenance `json:"provenance"`
	Site       string     `json:"site"`
	Emotions   []string   `json:"emotions"`
	Topics     []string   `json:"topics"`
	Writers    []string   `json:"writers"` // index 0 is "", a writer not known
}

// SidecarPath is where the story means of a vectors file are kept: beside it,
// with ".stories" before the extension.
func SidecarPath(vectors string) string {
	if base, ok := strings.CutSuffix(vectors, ".safetensors"); ok {
		return base + ".stories.safetensors"
	}
	return vectors + ".stories.safetensors"
}

// Save writes the story means with each story's place in the corpus and its
// emotion, topic and writer, [stories] indices into the lists of its metadata.
// Equal means give equal bytes.
func (s *StoryMeans) Save(path string, v *Vectors, c *emotion.Corpus) error {
	h := storiesHeader{v.Provenance, s.Site.String(), c.Emotions, c.Topics, append([]string{""}, c.Writers()...)}
	emotions, topics, writers := indexOf(h.Emotions), indexOf(h.Topics), indexOf(h.Writers)
	var columns [4][]int32
	for _, i := range s.Index {
		story := &c.Stories[i]
		columns[0] = append(columns[0], int32(emotions[story.Emotion]))
		columns[1] = append(columns[1], int32(topics[story.Topic]))
		columns[2] = append(columns[2], int32(writers[story.Writer]))
		columns[3] = append(columns[3], int32(i))
	}
	text, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("probe: %s: %w", path, err)
	}
	n := len(s.Index)
	tensors := []safetensors.Tensor{
		{Name: s.Site.Key() + "/story_mean", Shape: []int{n, v.Width}, Data: s.Means},
		{Name: "story_index", Shape: []int{n}, Data: columns[3]},
		{Name: "story_emotion", Shape: []int{n}, Data: columns[0]},
		{Name: "story_topic", Shape: []int{n}, Data: columns[1]},
		{Name: "story_writer", Shape: []int{n}, Data: columns[2]},
	}
	meta := map[string]string{"format": storiesFormat, "limbic": string(text)}
	return atomicfile.Write(path, 0o666, func(w io.Writer) error { return safetensors.Write(w, meta, tensors) })
}

// FileSHA256 is the hash of a file, in hexadecimal.
func FileSHA256(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("probe: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("probe: %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
