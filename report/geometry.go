package report

import (
	"fmt"
	"math"
	"slices"
)

// Geometry is how emotion vectors lie to each other: the part that figures show
// of what "limbic geometry --json" prints.
type Geometry struct {
	Site     string `json:"site"`
	SiteText string `json:"site_text"`
	Form     string `json:"form"`

	// Explained is the share of variance of each component that was compared
	// with ratings; other lists by component are as long.
	Explained       []float64               `json:"explained"`
	ValenceR        Means                   `json:"valence_r"`
	ArousalR        Means                   `json:"arousal_r"`
	ArousalPartialR Means                   `json:"arousal_partial_r"`
	Tests           map[string]GeometryTest `json:"tests"`
	Agreement       *GeometryAgreement      `json:"agreement"`

	Clusters []GeometryCluster `json:"clusters"`
	Emotions []string          `json:"emotions"`
	Points   []GeometryPoint   `json:"points"` // of Emotions
	// Order lists indices into Emotions, cluster by cluster.
	Order []int `json:"order"`
	// Similarity is [emotions][emotions]: cosines.
	Similarity [][]float64 `json:"similarity"`
	Layers     struct {
		Sites []string `json:"sites"`
		RSA   []Means  `json:"rsa"`
	} `json:"layers"`
	Baselines map[string]GeometryBaseline `json:"baselines"`
	Controls  map[string]GeometryControl  `json:"controls"`
	Ratings   []struct {
		Set string `json:"set"`
		N   int    `json:"n"`
	} `json:"ratings"`

	Topics      []string          `json:"topics"`
	Stories     int               `json:"stories"`
	InSample    bool              `json:"in_sample"`
	Source      string            `json:"ratings_source"`
	Definitions map[string]string `json:"definitions"`
	Provenance  Provenance        `json:"provenance"`
}

// A GeometryTest compares components with a rating: "valence", "arousal" or
// "arousal_partial".
type GeometryTest struct {
	R         Means         `json:"r"`
	Intervals []*[2]float64 `json:"intervals"`
	P         Means         `json:"p"`
	Component int           `json:"component"` // with the largest |r|, from 1; 0 for none
	Null95    float64       `json:"null_95"`
}

// best is the largest |r| and its p; NaN if there is none.
func (t *GeometryTest) best() (r, p float64) {
	if k := t.Component - 1; k >= 0 && k < len(t.R) && k < len(t.P) {
		return math.Abs(t.R[k]), t.P[k]
	}
	return math.NaN(), math.NaN()
}

// A GeometryAgreement says how well clusters agree with the study's families.
type GeometryAgreement struct {
	GeometryIndices
	Chance GeometryIndices `json:"chance"`
	P      GeometryIndices `json:"p"`
}

// GeometryIndices measure how far two partitions agree.
type GeometryIndices struct {
	Purity float64 `json:"purity"`
	ARI    float64 `json:"ari"`
	NMI    float64 `json:"nmi"`
}

// A GeometryBaseline is what words, style or token embeddings alone give.
type GeometryBaseline struct {
	Tests     map[string]GeometryTest `json:"tests"`
	Agreement *GeometryAgreement      `json:"agreement"`
}

// A GeometryControl is what vectors without emotion give, by rating.
type GeometryControl struct {
	Best95 map[string]float64 `json:"best_95"`
	P      map[string]float64 `json:"p"`
}

// A GeometryCluster is a group of emotions; its first member is nearest to its
// centre and gives it its name.
type GeometryCluster struct {
	Name     string   `json:"name"`
	Members  []string `json:"members"`
	Family   string   `json:"family"`
	Share    float64  `json:"share"`
	Valence  *float64 `json:"valence"`
	Cohesion *float64 `json:"cohesion"`
}

// A GeometryPoint is where an emotion lies, with people's ratings of its word
// from 1 to 9; nil where there are none.
type GeometryPoint struct {
	Emotion     string    `json:"emotion"`
	Coordinates []float64 `json:"coordinates"`
	Family      string    `json:"family"`
	Cluster     int       `json:"cluster"`
	Valence     *float64  `json:"valence"`
	Arousal     *float64  `json:"arousal"`
	Proxy       bool      `json:"proxy"`
	Neighbours  []struct {
		Emotion string  `json:"emotion"`
		Cosine  float64 `json:"cosine"`
	} `json:"neighbours"`
}

// Check says what is wrong with a result that does not fit together. Its errors
// name the field.
func (g *Geometry) Check() error {
	n, k := len(g.Emotions), len(g.Explained)
	switch {
	case n == 0:
		return fmt.Errorf("report: emotions: there are none")
	case k == 0:
		return fmt.Errorf("report: explained: there are no components")
	case len(g.Points) != n:
		return fmt.Errorf("report: points: %d for %d emotions", len(g.Points), n)
	case len(g.Similarity) != n:
		return fmt.Errorf("report: similarity: %d rows for %d emotions", len(g.Similarity), n)
	case len(g.Layers.RSA) != len(g.Layers.Sites):
		return fmt.Errorf("report: layers: %d rows for %d sites", len(g.Layers.RSA), len(g.Layers.Sites))
	}
	sorted := slices.Sorted(slices.Values(g.Order))
	for i := range n {
		if len(sorted) != n || sorted[i] != i {
			return fmt.Errorf("report: order: does not hold each of the %d emotions once", n)
		}
	}
	for _, x := range []struct {
		name string
		r    Means
	}{{"valence_r", g.ValenceR}, {"arousal_r", g.ArousalR}, {"arousal_partial_r", g.ArousalPartialR}} {
		if len(x.r) != k {
			return fmt.Errorf("report: %s: %d values for %d components", x.name, len(x.r), k)
		}
	}
	for name, t := range g.Tests {
		if len(t.R) != k || len(t.P) != k || len(t.Intervals) != k {
			return fmt.Errorf("report: tests: %q has %d, %d and %d values for %d components", name, len(t.R), len(t.P), len(t.Intervals), k)
		}
	}
	at := 0
	for i := range g.Points {
		p := &g.Points[i]
		switch {
		case len(p.Coordinates) != k:
			return fmt.Errorf("report: points: %d coordinates of %q for %d components", len(p.Coordinates), p.Emotion, k)
		case p.Emotion != g.Emotions[i]:
			return fmt.Errorf("report: points: %q in the place of %q", p.Emotion, g.Emotions[i])
		case p.Cluster < 0 || p.Cluster >= len(g.Clusters):
			return fmt.Errorf("report: points: %q is in cluster %d of %d", p.Emotion, p.Cluster, len(g.Clusters))
		case len(g.Similarity[i]) != n:
			return fmt.Errorf("report: similarity: row %d has %d values for %d emotions", i, len(g.Similarity[i]), n)
		}
		// Figures draw a cluster as a run of the order.
		c := g.Points[g.Order[i]].Cluster
		if c < at {
			return fmt.Errorf("report: order: cluster %d comes after cluster %d", c, at)
		}
		at = c
	}
	for i, row := range g.Layers.RSA {
		if len(row) != len(g.Layers.Sites) {
			return fmt.Errorf("report: layers: row %d has %d values for %d sites", i, len(row), len(g.Layers.Sites))
		}
	}
	return nil
}

// rated is the number of words that were rated as such.
func (g *Geometry) rated() int {
	for _, s := range g.Ratings {
		if s.Set == "words" {
			return s.N
		}
	}
	return 0
}
