package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
)

//go:embed page/geometry.html
var geometryHTML string

var geometryTemplate = template.Must(template.New("geometry").Parse(geometryHTML))

type geometryPage struct {
	StyleHash string
	Style     template.CSS

	Model, Site, SiteText, Form, Basis, Version        string
	Summary, Map, Matrix, Clusters, Neighbours, Layers template.HTML
	Facts                                              []fact
}

// WriteGeometry writes the geometry of emotion vectors as one HTML file: the
// components beside their controls, the map of emotions, the matrix of cosines,
// clusters, neighbours, and the agreement of layers.
func WriteGeometry(w io.Writer, g Geometry) error {
	style := tokensCSS + levelStyles() + geometryCSS
	p := geometryPage{
		Style: template.CSS(style), StyleHash: cspHash(style),
		Model: Visible(g.Provenance.Model), Site: Visible(g.Site), SiteText: Visible(g.SiteText), Form: Visible(g.Form),
		Version: Visible(g.Provenance.Limbic),
		Basis:   fmt.Sprintf("Vectors of %s, from %s on %s", counted(len(g.Emotions), "emotion"), plural(g.Stories, "story", "stories"), counted(len(g.Topics), "topic")),
	}
	if p.Model == "" {
		p.Model = "without a name"
	}
	if g.InSample {
		p.Basis += "; in sample, unless the model saw none of them in training."
	} else {
		p.Basis += ", which the model was stated not to have seen in training."
	}
	for _, f := range []struct {
		to   *template.HTML
		draw func(*Geometry) (template.HTML, error)
	}{
		{&p.Summary, GeometrySummary}, {&p.Map, EmotionMap}, {&p.Matrix, SimilarityMatrix},
		{&p.Clusters, ClusterTable}, {&p.Neighbours, NeighbourTable}, {&p.Layers, LayerTable},
	} {
		var err error
		if *f.to, err = f.draw(&g); err != nil {
			return err
		}
	}
	p.addFacts(&g)
	if err := geometryTemplate.Execute(w, p); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

func (p *geometryPage) addFacts(g *Geometry) {
	add := func(name, text string, mono bool) {
		if text != "" {
			p.Facts = append(p.Facts, fact{name, Visible(text), mono})
		}
	}
	v := &g.Provenance
	add("model", strings.Trim(strings.Join([]string{p.Model, v.Architecture, v.Quantisation}, ", "), ", "), false)
	add("model SHA-256", v.ModelSHA256, true)
	add("topics", strings.Join(g.Topics, ", "), false)
	for _, name := range []string{"components", "sign", "valence_r", "arousal_r", "arousal_partial_r", "p", "intervals", "clusters", "agreement", "rsa", "topics", "tfidf", "function_words", "punctuation_length", "embeddings", "random", "shuffled_labels"} {
		title := strings.ReplaceAll(name, "_", " ")
		if name == "topics" {
			title = "choice of topics"
		}
		add(title, g.Definitions[name], false)
	}
	for _, x := range v.Vectors {
		add("vectors file SHA-256", x.FileSHA256, true)
		add("raw means SHA-256", x.MeansSHA256, true)
	}
	add("ratings", g.Source, false)
	add("computed", strings.Trim(strings.Join([]string{"limbic " + v.Limbic, v.Revision, "kernels " + v.Kernels}, ", "), ", "), false)
}
