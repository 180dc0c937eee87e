package experiment

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/limbic-go/limbic/emotion"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/probe"
)

// GeometryOptions are the options of Geometry. The zero value is good.
type GeometryOptions struct {
	// Site of the vectors; nil means their default site. It must have been
	// chosen without looking at the ratings: for the best of many sites, look
	// at GeometryResult.Sweep.
	Site *llama.Site
	// Form of the vectors; "" means probe.Denoised.
	Form probe.Form
	// Unit scales every vector to length 1 before the principal components
	// are taken. Clusters, neighbours and similarities are of directions
	// anyway.
	Unit bool
	// Components that are compared with ratings; 0 means 3. There are at most
	// as many as the vectors have.
	Components int
	// Clusters to find; 0 means 10, but at most half as many as emotions.
	Clusters int
	// Restarts of the clustering; 0 means 100.
	Restarts int
	// Ratings by people; nil means emotion.Ratings.
	Ratings []emotion.Rating
	// Seed of permutations, bootstrap, clustering and controls.
	Seed uint64
	// Permutations of ratings and of families; 0 means 2000.
	Permutations int
	// Bootstrap draws of words; 0 means 2000.
	Bootstrap int
	// Draws of each control; 0 means 100.
	Draws int

	// Sidecar is the file of story means that was written beside the vectors
	// (see probe.SidecarPath). At its site it allows a choice of topics and
	// gives the control with shuffled labels. "" means none; a file that was
	// written with other vectors is an error.
	Sidecar string
	// Topics are those whose stories the vectors are formed from; nil means
	// all that the vectors were built from, but ExcludeTopics. A choice needs
	// Sidecar.
	Topics, ExcludeTopics []string
	// UnseenTopics states which topics the model was not trained on. The
	// result is out of sample if all topics used are among them. They must be
	// topics that the vectors were built from.
	UnseenTopics []string

	// Corpus is the one that the vectors were built from (see
	// TrainingCorpus). It gives the baselines of words and style; nil means
	// none.
	Corpus *emotion.Corpus
	// Runner of the model that the vectors were built from. With Corpus it
	// gives the baseline of token embeddings; nil means none.
	Runner *llama.Runner
	// Progress, if not nil, is told how far a stage of the work is.
	Progress func(stage string, done, total int)
}

// The names of what components are compared with.
const (
	// RateValence is how pleasant people find the word.
	RateValence = "valence"
	// RateArousal is how exciting they find it.
	RateArousal = "arousal"
	// RateArousalPartial is arousal with valence regressed out of both sides:
	// over the words of the study the two ratings go together.
	RateArousalPartial = "arousal_partial"
)

// RatingKinds lists them.
func RatingKinds() []string { return []string{RateValence, RateArousal, RateArousalPartial} }

// The names of the controls.
const (
	// ControlRandom are Gaussian vectors, as many and as wide as the
	// emotions'.
	ControlRandom = "random"
	// ControlShuffled are vectors formed as the emotions' are, from the same
	// stories, after the stories' labels were shuffled within each hand.
	ControlShuffled = "shuffled_labels"
)

// Numbers are figures of which those that cannot be computed are NaN: null in
// JSON, which has no NaN.
type Numbers []float64

// MarshalJSON writes a list of numbers and nulls.
func (n Numbers) MarshalJSON() ([]byte, error) {
	list := make([]*float64, len(n))
	for i := range n {
		if !math.IsNaN(n[i]) {
			list[i] = &n[i]
		}
	}
	return json.Marshal(list)
}

// UnmarshalJSON reads a list of numbers and nulls.
func (n *Numbers) UnmarshalJSON(b []byte) error {
	var list []*float64
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	*n = make(Numbers, len(list))
	for i, x := range list {
		(*n)[i] = math.NaN()
		if x != nil {
			(*n)[i] = *x
		}
	}
	return nil
}

// A RatingTest compares the components of a set of vectors with one rating.
type RatingTest struct {
	// R is the Pearson correlation of each component with the rating, over
	// the rated words; null for fewer than three words (four for the partial
	// correlation) or constant values.
	R Numbers `json:"r"`
	// Intervals hold 95 % of the bootstrap draws of words, the components
	// held fixed; null with R, and for fewer than five words.
	Intervals []*Interval `json:"intervals"`
	// P is (k+1)/(N+1), with k the number of N permutations of the ratings
	// under which the largest |r| of all components reaches the component's:
	// it allows for the choice of the component.
	P Numbers `json:"p"`
	// Component is the one with the largest |r|, counted from 1; 0 if there
	// is none.
	Component int `json:"component"`
	// Null95 is the 95th percentile of that largest |r| under permuted
	// ratings; 0 if there is none.
	Null95 float64 `json:"null_95"`
}

// best is the largest |r|, or 0.
func (t *RatingTest) best() float64 {
	if t.Component == 0 {
		return 0
	}
	return math.Abs(t.R[t.Component-1])
}

// A SweepTest is about the largest |r| over all components at all sites.
type SweepTest struct {
	Site      string  `json:"site"` // where it is; "" if there is none
	Component int     `json:"component"`
	R         float64 `json:"r"`
	P         float64 `json:"p"` // as in RatingTest, the maximum taken over the whole sweep
	Null95    float64 `json:"null_95"`
	Tried     int     `json:"tried"` // components, of all sites together
}

// An Agreement says how well clusters agree with families.
type Agreement struct {
	// Purity is the share of emotions that are of their cluster's commonest
	// family.
	Purity float64 `json:"purity"`
	// ARI is the Rand index adjusted for chance (Hubert and Arabie 1985): 1
	// for equal partitions, 0 on average for unrelated ones.
	ARI float64 `json:"ari"`
	// NMI is mutual information over the arithmetic mean of the entropies.
	// Unlike ARI it is well above 0 for unrelated partitions.
	NMI float64 `json:"nmi"`
}

// A FamilyAgreement is an Agreement beside its control.
type FamilyAgreement struct {
	Agreement
	// Chance and Chance95 are mean and 95th percentile when the families of
	// the emotions are permuted.
	Chance   Agreement `json:"chance"`
	Chance95 Agreement `json:"chance_95"`
	// P is (k+1)/(N+1), with k the number of N permutations that reach the
	// figure.
	P Agreement `json:"p"`
	// N is the number of emotions that have a family, Families of how many
	// families they are, and Clusters how many clusters there are.
	N        int `json:"n"`
	Families int `json:"families"`
	Clusters int `json:"clusters"`
}

// GeometryFigures are what is measured of any set of vectors, one for each
// emotion.
type GeometryFigures struct {
	// Explained is each component's share of the vectors' variance.
	Explained []float64 `json:"explained"`
	// ValenceR, ArousalR and ArousalPartialR are those of Tests.
	ValenceR        Numbers `json:"valence_r"`
	ArousalR        Numbers `json:"arousal_r"`
	ArousalPartialR Numbers `json:"arousal_partial_r"`
	// Tests are by the names of RatingKinds.
	Tests map[string]RatingTest `json:"tests"`
	// Agreement of the clusters with the study's families; nil where fewer
	// than two emotions have one.
	Agreement *FamilyAgreement `json:"agreement"`
}

// A PairedCorrelation is the difference in the largest |r| over components.
type PairedCorrelation struct {
	Difference float64 `json:"difference"` // the vectors' minus the baseline's
	// Interval holds 95 % of the bootstrap draws of words, the same words
	// drawn for both sides; null for fewer than five words.
	Interval *Interval `json:"interval"`
}

// A GeometryControl is what vectors without emotion give.
type GeometryControl struct {
	Draws int `json:"draws"`
	// Explained is the mean share of each component.
	Explained []float64 `json:"explained"`
	// Best and Best95 are, for each rating, the mean and the 95th percentile
	// of the largest |r| over components.
	Best   map[string]float64 `json:"best"`
	Best95 map[string]float64 `json:"best_95"`
	// P is (k+1)/(N+1), with k the number of N draws whose largest |r|
	// reaches the vectors'.
	P map[string]float64 `json:"p"`
}

// RatingSet are the correlations over some of the ratings. Signs are those of
// the components as they were aligned over the headline set.
type RatingSet struct {
	// Set is "words" (rated as such, the headline), "proxies" (a related word
	// was rated in their place) or "all".
	Set             string  `json:"set"`
	N               int     `json:"n"`
	ValenceR        Numbers `json:"valence_r"`
	ArousalR        Numbers `json:"arousal_r"`
	ArousalPartialR Numbers `json:"arousal_partial_r"`
	// ValenceArousal is the correlation between the two ratings.
	ValenceArousal Numbers `json:"valence_arousal_r"` // one number or null
}

// A Cluster is a group of emotions that k-means found.
type Cluster struct {
	// Name is the member nearest to the centroid.
	Name string `json:"name"`
	// Members begin with the one nearest to the centroid.
	Members []string `json:"members"`
	// Family is the commonest family of the members, and Share its share of
	// those that have one; "" and 0 if none has.
	Family string  `json:"family"`
	Share  float64 `json:"share"`
	// Valence is the mean rating of the members that are rated as words, and
	// Rated how many they are; null if none is.
	Valence *float64 `json:"valence"`
	Rated   int      `json:"rated"`
	// Cohesion is the mean cosine between two members; null for one alone.
	Cohesion *float64 `json:"cohesion"`
}

// A Neighbour is an emotion with the cosine to another's vector.
type Neighbour struct {
	Emotion string  `json:"emotion"`
	Cosine  float64 `json:"cosine"`
}

// A GeometryPoint is where an emotion lies.
type GeometryPoint struct {
	Emotion string `json:"emotion"`
	// Coordinates on the components, in units of the residual stream (of the
	// vector's length, if vectors were scaled).
	Coordinates []float64 `json:"coordinates"`
	Family      string    `json:"family"`  // of the study; "" if it has none
	Cluster     int       `json:"cluster"` // index into GeometryResult.Clusters
	// Valence and Arousal as people rate the word, 1 to 9; null if they did
	// not. Proxy says that they rated a related word.
	Valence *float64 `json:"valence"`
	Arousal *float64 `json:"arousal"`
	Proxy   bool     `json:"proxy,omitempty"`
	// Neighbours are the nearest emotions by cosine, at most five.
	Neighbours []Neighbour `json:"neighbours"`
}

// SiteGeometry is what the components at one site of the file give. It is of
// the vectors in the file, whatever topics were chosen.
type SiteGeometry struct {
	Site            string    `json:"site"`
	Explained       []float64 `json:"explained"`
	ValenceR        Numbers   `json:"valence_r"`
	ArousalR        Numbers   `json:"arousal_r"`
	ArousalPartialR Numbers   `json:"arousal_partial_r"`
}

// LayerAgreement compares the sites of the file.
type LayerAgreement struct {
	Sites []string `json:"sites"`
	// RSA is [sites][sites]: the Spearman correlation between the cosines of
	// all pairs of emotions at one site and those at the other; null where
	// there are fewer than three pairs.
	RSA []Numbers `json:"rsa"`
}

// A GeometryResult is the result of Geometry.
type GeometryResult struct {
	Experiment string `json:"experiment"` // "geometry"
	Site       string `json:"site"`
	SiteText   string `json:"site_text"`
	Form       string `json:"form"`
	Unit       bool   `json:"unit"` // whether vectors were scaled before taking components

	GeometryFigures // of the vectors, over the headline ratings

	// Spectrum is the share of variance of every component, largest first.
	Spectrum []float64 `json:"spectrum"`
	// Sweep is by the names of RatingKinds: over the components at every site
	// of the file.
	Sweep map[string]SweepTest `json:"sweep"`
	// Ratings compares sets of ratings, the headline first.
	Ratings []RatingSet `json:"ratings"`
	// LengthR is the correlation of each component with the mean length of
	// the emotion's stories in tokens, over all emotions: what a component
	// owes to length is no emotion.
	LengthR Numbers `json:"length_r"`
	// Ends names the three emotions at the upper and the lower end of each
	// component.
	Ends []Ends `json:"ends"`

	Clusters []Cluster `json:"clusters"`
	// Emotions are the names of the rows of Similarity, and Points describes
	// them, in the same order.
	Emotions []string        `json:"emotions"`
	Points   []GeometryPoint `json:"points"`
	// Order lists the indices of the emotions by clusters, and within one
	// from its centre outwards.
	Order []int `json:"order"`
	// Similarity is [emotions][emotions]: cosines, rounded to 4 decimals.
	Similarity [][]float64 `json:"similarity"`

	Sites  []SiteGeometry `json:"sites"`
	Layers LayerAgreement `json:"layers"`

	// Baselines are by the names of Baselines; those that could not be had
	// are missing.
	Baselines map[string]GeometryFigures `json:"baselines"`
	// Paired holds, for each baseline and rating, the vectors minus it.
	Paired map[string]map[string]PairedCorrelation `json:"paired"`
	// Controls are by their names; that of shuffled labels needs the sidecar.
	Controls map[string]GeometryControl `json:"controls"`

	// Topics are those whose stories the vectors were formed from.
	Topics []string `json:"topics"`
	// InSample is false if it was stated that the model was not trained on
	// these topics.
	InSample bool `json:"in_sample"`
	Stories  int  `json:"stories"`
	// Missing are emotions that have no story on the topics chosen, and
	// are left out.
	Missing []string `json:"missing,omitempty"`
	// Hands says whether the vectors are centred within the hands that wrote
	// the stories.
	Hands bool `json:"centred_in_hands"`

	Corpus       string            `json:"corpus_sha256"`
	Means        string            `json:"means_sha256"`
	Model        string            `json:"model_sha256"`
	Seed         uint64            `json:"seed"`
	Permutations int               `json:"permutations"`
	Bootstrap    int               `json:"bootstrap"`
	Restarts     int               `json:"restarts"`
	Citation     string            `json:"ratings_source"`
	Definitions  map[string]string `json:"definitions"`
}

// Ends are the emotions at the ends of a component, the outermost first.
type Ends struct {
	High []string `json:"high"`
	Low  []string `json:"low"`
}

// Geometry describes how emotion vectors lie to each other, and how far their
// principal components are what people mean by valence and arousal.
//
// Components are of the vectors centred over emotions. Their signs mean
// nothing by themselves: each is turned so that of its correlations with
// valence and with arousal the larger in absolute value is positive, or, where
// there are no ratings, its largest coordinate is. Ratings of words are the
// headline; those of related words that stand in are reported apart.
//
// Every figure has its control: p values come from permuted ratings, with the
// largest |r| over all components (and in Sweep over all sites) taken anew for
// each permutation; the agreement of clusters with families stands beside that
// with permuted families; and words, style and token embeddings of the same
// stories are put through the same measurement, formed into vectors with the
// same centring within hands.
func Geometry(ctx context.Context, v *probe.Vectors, o GeometryOptions) (*GeometryResult, error) {
	g, err := newGeometer(v, o)
	if err != nil {
		return nil, err
	}
	if err := g.form(); err != nil {
		return nil, err
	}
	if err := g.measure(); err != nil {
		return nil, err
	}
	if err := g.sites(ctx); err != nil {
		return nil, err
	}
	if err := g.baselines(ctx); err != nil {
		return nil, err
	}
	if err := g.controls(ctx); err != nil {
		return nil, err
	}
	g.define()
	return &g.out, nil
}

type geometer struct {
	v    *probe.Vectors
	site *probe.SiteVectors
	opts GeometryOptions
	out  GeometryResult

	sidecar *probe.StoryFile // nil if there is none
	stories selection        // of the sidecar's site; empty without one
	rows    [][]float32      // the vectors that are measured, one for each emotion
	keep    []int            // which emotions of v they are
	rated   ratingSets
	family  []int // of each emotion; -1 where it has none
	draws   geometryDraws
	whole   *measured // of rows
}

func newGeometer(v *probe.Vectors, o GeometryOptions) (*geometer, error) {
	if o.Form == "" {
		o.Form = probe.Denoised
	}
	if o.Ratings == nil {
		o.Ratings = emotion.Ratings()
	}
	for _, d := range []struct {
		value *int
		usual int
		name  string
	}{
		{&o.Components, 3, "components"}, {&o.Restarts, 100, "restarts"}, {&o.Permutations, 2000, "permutations"},
		{&o.Bootstrap, 2000, "bootstrap draws"}, {&o.Draws, 100, "draws of controls"}, {&o.Clusters, 0, "clusters"},
	} {
		if *d.value < 0 {
			return nil, fmt.Errorf("experiment: %d %s: there cannot be fewer than none", *d.value, d.name)
		}
		if *d.value == 0 {
			*d.value = d.usual
		}
	}
	at := v.DefaultSite()
	if o.Site != nil {
		at = *o.Site
	}
	site, err := v.At(at)
	if err != nil {
		return nil, err
	}
	if site.ByForm[o.Form] == nil {
		return nil, fmt.Errorf("experiment: the vectors have no form %q; they have %v", o.Form, probe.Forms())
	}
	p := &v.Provenance
	g := &geometer{v: v, site: site, opts: o}
	g.out = GeometryResult{
		Experiment: "geometry", Site: at.String(), SiteText: at.Describe(p.Blocks), Form: string(o.Form), Unit: o.Unit,
		Corpus: p.Corpus, Means: p.MeansSHA256, Model: p.ModelSHA256, Hands: p.Hands && handsMatter(o.Form),
		Seed: o.Seed, Permutations: o.Permutations, Bootstrap: o.Bootstrap, Restarts: o.Restarts, Citation: emotion.RatingsCitation,
		Topics: p.Topics, Stories: p.Stories,
		Baselines: map[string]GeometryFigures{}, Paired: map[string]map[string]PairedCorrelation{}, Controls: map[string]GeometryControl{},
	}
	if o.Sidecar != "" {
		if g.sidecar, err = probe.LoadStories(o.Sidecar); err != nil {
			return nil, err
		}
		if got := g.sidecar.Provenance.MeansSHA256; got != p.MeansSHA256 {
			return nil, fmt.Errorf("experiment: %s was written with other vectors: its means_sha256 is %s, theirs %s", o.Sidecar, got, p.MeansSHA256)
		}
		if g.sidecar.Width != v.Width || !slices.Equal(g.sidecar.Emotions, v.Emotions) {
			return nil, fmt.Errorf("experiment: %s has means of width %d for %d emotions, the vectors width %d and %d emotions that are not all the same", o.Sidecar, g.sidecar.Width, len(g.sidecar.Emotions), v.Width, len(v.Emotions))
		}
	}
	if o.Corpus != nil {
		if hash := o.Corpus.Hash(); hash != p.Corpus {
			return nil, fmt.Errorf("experiment: the vectors were built from %w: their corpus_sha256 is %s, that of the stories given %s", ErrCorpus, p.Corpus, hash)
		}
	}
	return g, g.chooseTopics()
}

// handsMatter reports whether a form is centred within hands where vectors are.
func handsMatter(f probe.Form) bool { return f == probe.Denoised || f == probe.Contrast }

// denoises reports whether neutral components are removed from a form.
func denoises(f probe.Form) bool { return f == probe.Denoised || f == probe.PlainDenoised }

// measure fills in all that the vectors themselves give.
func (g *geometer) measure() error {
	n := len(g.rows)
	if n < 3 {
		return fmt.Errorf("experiment: geometry of %d emotions: at least three are needed", n)
	}
	clusters := g.opts.Clusters
	switch {
	case clusters > n:
		return fmt.Errorf("experiment: %d clusters of %d emotions", clusters, n)
	case clusters == 0:
		clusters = min(10, n/2)
	}
	g.opts.Clusters = clusters
	g.rated = newRatingSets(g.out.Emotions, g.opts.Ratings)
	families := emotion.Families()
	for _, name := range g.out.Emotions {
		at := -1
		if f, ok := emotion.FamilyOf(name); ok {
			at = slices.IndexFunc(families, func(x emotion.Family) bool { return x.Name == f })
		}
		g.family = append(g.family, at)
	}
	g.draws = newGeometryDraws(len(g.rated.words.at), g.family, g.opts)

	m, err := g.measureGram(gramOf(g.rows))
	if err != nil {
		return err
	}
	g.whole = m
	g.out.GeometryFigures = m.figures
	g.out.Spectrum = m.axes.spectrum
	for _, s := range []struct {
		name string
		set  *ratingSet
	}{{"words", &g.rated.words}, {"proxies", &g.rated.proxies}, {"all", &g.rated.all}} {
		c := m.axes.correlate(s.set)
		g.out.Ratings = append(g.out.Ratings, RatingSet{
			Set: s.name, N: len(s.set.at), ValenceR: c[RateValence], ArousalR: c[RateArousal], ArousalPartialR: c[RateArousalPartial],
			ValenceArousal: Numbers{pearson(s.set.valence, s.set.arousal)},
		})
	}
	var lengths []float64
	for _, e := range g.keep {
		lengths = append(lengths, g.v.MeanTokens[e])
	}
	for _, x := range m.axes.coordinates {
		g.out.LengthR = append(g.out.LengthR, pearson(x, lengths))
		g.out.Ends = append(g.out.Ends, endsOf(x, g.out.Emotions))
	}
	g.describeClusters(m)
	return nil
}

// endsOf names the emotions with the largest and the least coordinates.
func endsOf(x []float64, names []string) Ends {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return compareDown(x[a], x[b]) })
	var e Ends
	for k := range min(3, len(x)/2) {
		e.High = append(e.High, names[order[k]])
		e.Low = append(e.Low, names[order[len(order)-1-k]])
	}
	return e
}

// compareDown orders numbers from the largest.
func compareDown(a, b float64) int {
	switch {
	case a > b:
		return -1
	case a < b:
		return 1
	}
	return 0
}

// sites measures every site of the file and compares them.
func (g *geometer) sites(ctx context.Context) error {
	var all []*axes
	var triangles [][]float64
	for k := range g.v.Sites {
		if err := ctx.Err(); err != nil {
			return err
		}
		g.progress("sites", k, len(g.v.Sites))
		s := &g.v.Sites[k]
		m := s.ByForm[g.opts.Form]
		if m == nil {
			return fmt.Errorf("experiment: the vectors have no form %q at %v", g.opts.Form, s.Site)
		}
		var rows [][]float32
		for _, e := range g.keep {
			rows = append(rows, m[e*g.v.Width:][:g.v.Width])
		}
		gram := gramOf(rows)
		a, err := g.axesOf(gram)
		if err != nil {
			return fmt.Errorf("%w (at %v)", err, s.Site)
		}
		all = append(all, a)
		triangles = append(triangles, ranks(upper(cosines(gram))))
		c := a.correlate(&g.rated.words)
		g.out.Sites = append(g.out.Sites, SiteGeometry{
			Site: s.Site.String(), Explained: a.shares(), ValenceR: c[RateValence], ArousalR: c[RateArousal], ArousalPartialR: c[RateArousalPartial],
		})
		g.out.Layers.Sites = append(g.out.Layers.Sites, s.Site.String())
	}
	for i := range triangles {
		row := make(Numbers, len(triangles))
		for j := range triangles {
			row[j] = pearson(triangles[i], triangles[j])
			if i == j && !math.IsNaN(row[j]) {
				row[j] = 1
			}
		}
		g.out.Layers.RSA = append(g.out.Layers.RSA, row)
	}
	g.out.Sweep = map[string]SweepTest{}
	nulls := g.draws.null(&g.rated.words, all...)
	for _, kind := range RatingKinds() {
		t := SweepTest{}
		for k, a := range all {
			for c, r := range a.correlate(&g.rated.words)[kind] {
				t.Tried++
				if math.Abs(r) > math.Abs(t.R) {
					t.Site, t.Component, t.R = g.out.Sites[k].Site, c+1, r
				}
			}
		}
		t.P = 1
		if t.Component > 0 {
			t.P, t.Null95 = reached(nulls[kind], math.Abs(t.R)), percentile95(nulls[kind])
		}
		g.out.Sweep[kind] = t
	}
	g.progress("sites", len(g.v.Sites), len(g.v.Sites))
	return nil
}

func (g *geometer) progress(stage string, done, total int) {
	if g.opts.Progress != nil {
		g.opts.Progress(stage, done, total)
	}
}

func (g *geometer) define() {
	o := &g.opts
	g.out.Definitions = map[string]string{
		"components":        "principal components of the emotions' vectors, centred over emotions; explained is the share of their variance",
		"sign":              "a component's sign means nothing: each is turned so that of its correlations with valence and with arousal, over the words rated as such, the larger in absolute value is positive",
		"valence_r":         fmt.Sprintf("Pearson correlation of the emotions' coordinates on a component with people's ratings, over the %d words that were rated as such; one number a component", len(g.rated.words.at)),
		"arousal_r":         "the same with arousal, which over these words goes with valence (ratings[].valence_arousal_r)",
		"arousal_partial_r": "partial correlation: arousal and the component after valence was regressed out of both",
		"intervals":         fmt.Sprintf("95 %% percentile intervals of %d bootstrap draws of words, components held fixed", o.Bootstrap),
		"p":                 fmt.Sprintf("(k+1)/(N+1), k of N=%d permutations of the ratings among the words whose largest |r| over all components reaches the component's; in sweep over all components at all sites; for arousal_partial what is left of arousal without valence is permuted", o.Permutations),
		"null_95":           "95th percentile of the largest |r| under permuted ratings",
		"ratings":           "words: rated as such (the headline); proxies: a related word was rated; all: both",
		"clusters":          fmt.Sprintf("k-means with k=%d on vectors scaled to length 1, the best of %d seeded starts (k-means++); ordered by their mean coordinate on the first component, highest first; members from the centroid outwards", o.Clusters, o.Restarts),
		"agreement":         fmt.Sprintf("of the clusters with the study's ten families, which were found in another model: purity, adjusted Rand index, mutual information over the mean of entropies; chance from %d permutations of the families", o.Permutations),
		"similarity":        "cosines between vectors",
		"rsa":               "Spearman correlation between two sites' cosines of all pairs of emotions",
		"length_r":          "correlation with the mean length of the emotion's stories in tokens, over all stories of the vectors",
		"sites":             "of the vectors in the file, from all topics",
		"topics":            "those whose stories the vectors are the means of; neutral components are those of the file",
		"in_sample":         "false if it was stated that the model was not trained on stories on these topics",
		"paired":            "largest |r| over components of the vectors minus that of the baseline, the same words drawn for both",
		BaseTFIDF:           "mean of the emotion's stories' words, weighted tf*(ln((1+n)/(1+df))+1) and scaled to length 1, centred within hands as the vectors are",
		BaseFunctionWords:   "the same of the shares of function words, standardised",
		BaseForm:            "the same of punctuation marks a word, log words, words a sentence, letters a word and log lines, standardised",
		BaseEmbeddings:      "the vectors' own recipe applied to the model's token embeddings (resid_pre:0) of the same positions",
		ControlRandom:       fmt.Sprintf("%d draws of Gaussian vectors, as many and as wide", o.Draws),
		ControlShuffled:     fmt.Sprintf("%d draws of vectors formed in the same way after the stories' labels were shuffled within each hand", o.Draws),
	}
}
