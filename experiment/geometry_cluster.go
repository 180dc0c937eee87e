package experiment

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/limbic-go/limbic/emotion"
)

// A grouping puts vectors into clusters.
type grouping struct {
	of       []int     // of each vector: its cluster
	clusters int       //
	distance []float64 // of each vector: squared distance to its centroid
	inertia  float64   // sum of distance
}

// cluster finds k clusters by k-means. It needs inner products only: the
// squared distance between vector i and the centroid of C is
// g[i][i] − 2·mean g[i][C] + mean g[C][C]. Starts are those of k-means++
// (Arthur and Vassilvitskii 2007); of all starts the one with the least inertia
// is kept, the earliest of equals.
func cluster(g gram, k, restarts int, seed uint64) *grouping {
	rng := rand.New(rand.NewPCG(seed, 14))
	var best *grouping
	for range restarts {
		x := lloyd(g, plusPlus(g, k, rng), k)
		if best == nil || x.inertia < best.inertia-1e-12 {
			best = x
		}
	}
	return best
}

// plusPlus draws k vectors as first centroids, each with a probability that
// grows with its squared distance to those drawn before, and puts every vector
// to the nearest.
func plusPlus(g gram, k int, rng *rand.Rand) []int {
	n := len(g)
	of, least := make([]int, n), make([]float64, n)
	next := rng.IntN(n)
	for c := range k {
		total := 0.0
		for i := range g {
			d := max(g[i][i]-2*g[i][next]+g[next][next], 0)
			if c == 0 || d < least[i] {
				least[i], of[i] = d, c
			}
			total += least[i]
		}
		// The last vector that can be drawn, should rounding leave a rest.
		rest := rng.Float64() * total
		for i, d := range least {
			if d > 0 {
				next = i
				if rest -= d; rest < 0 {
					break
				}
			}
		}
	}
	return of
}

// maxLloyd bounds the iterations; usually there are some ten.
const maxLloyd = 300

// lloyd moves vectors to the nearest centroid until nothing moves.
func lloyd(g gram, of []int, k int) *grouping {
	n := len(g)
	out := &grouping{of: of, clusters: k, distance: make([]float64, n)}
	for range maxLloyd {
		size := make([]float64, k)
		for _, c := range of {
			size[c]++
		}
		// An empty cluster takes the vector that is farthest from its own.
		for c := range size {
			if size[c] > 0 {
				continue
			}
			far := -1
			for i, d := range out.distance {
				if size[of[i]] > 1 && (far < 0 || d > out.distance[far]) {
					far = i
				}
			}
			if far >= 0 {
				size[of[far]]--
				of[far], size[c], out.distance[far] = c, 1, 0
			}
		}
		to := make([][]float64, n) // mean inner product with each cluster
		within := make([]float64, k)
		for i := range g {
			to[i] = make([]float64, k)
			for j, x := range g[i] {
				to[i][of[j]] += x / size[of[j]]
			}
			within[of[i]] += to[i][of[i]] / size[of[i]]
		}
		moved := false
		out.inertia = 0
		next := make([]int, n)
		for i := range g {
			at := of[i]
			distance := func(c int) float64 { return g[i][i] - 2*to[i][c] + within[c] }
			least := distance(at)
			for c := range k {
				// Staying where it is nearest makes the end certain.
				if size[c] > 0 && distance(c) < least-1e-12 {
					at, least = c, distance(c)
				}
			}
			moved = moved || at != of[i]
			next[i], out.distance[i] = at, max(least, 0)
			out.inertia += out.distance[i]
		}
		copy(of, next)
		if !moved {
			break
		}
	}
	return out
}

// agree compares clusters with families, both counted from 0, of the same
// things.
func agree(clusters, families []int, k, f int) Agreement {
	n := float64(len(clusters))
	if n == 0 {
		return Agreement{}
	}
	table := make([][]float64, k)
	for c := range table {
		table[c] = make([]float64, f)
	}
	rows, columns := make([]float64, k), make([]float64, f)
	for i, c := range clusters {
		table[c][families[i]]++
		rows[c]++
		columns[families[i]]++
	}
	pairs := func(x float64) float64 { return x * (x - 1) / 2 }
	entropy := func(x []float64) float64 {
		h := 0.0
		for _, v := range x {
			if v > 0 {
				h -= v / n * math.Log(v/n)
			}
		}
		return h
	}
	var a Agreement
	var same, inRows, inColumns, mutual float64
	for c, row := range table {
		a.Purity += slices.Max(row) / n
		inRows += pairs(rows[c])
		for j, x := range row {
			same += pairs(x)
			if x > 0 {
				mutual += x / n * math.Log(x*n/(rows[c]*columns[j]))
			}
		}
	}
	for _, x := range columns {
		inColumns += pairs(x)
	}
	expected := 0.0
	if n > 1 {
		expected = inRows * inColumns / pairs(n)
	}
	if most := (inRows + inColumns) / 2; most != expected {
		a.ARI = (same - expected) / (most - expected)
	} else {
		a.ARI = 1 // both partitions are trivial in the same way
	}
	if h := (entropy(rows) + entropy(columns)) / 2; h > 0 {
		a.NMI = max(mutual/h, 0)
	} else {
		a.NMI = 1
	}
	return a
}

// agreement compares clusters with the study's families; nil where fewer than
// two emotions have one.
func (g *geometer) agreement(x *grouping) *FamilyAgreement {
	var clusters, families []int
	for i, f := range g.family {
		if f >= 0 {
			clusters, families = append(clusters, x.of[i]), append(families, f)
		}
	}
	if len(families) < 2 {
		return nil
	}
	count := len(emotion.Families())
	out := &FamilyAgreement{
		Agreement: agree(clusters, families, x.clusters, count), N: len(families),
		Families: len(slices.Compact(slices.Sorted(slices.Values(families)))), Clusters: x.clusters,
	}
	var purity, ari, nmi []float64
	for _, p := range g.draws.families {
		a := agree(clusters, p, x.clusters, count)
		purity, ari, nmi = append(purity, a.Purity), append(ari, a.ARI), append(nmi, a.NMI)
	}
	out.Chance = Agreement{mean(purity), mean(ari), mean(nmi)}
	out.Chance95 = Agreement{percentile95(purity), percentile95(ari), percentile95(nmi)}
	out.P = Agreement{reached(purity, out.Purity), reached(ari, out.ARI), reached(nmi, out.NMI)}
	return out
}

// mean is 0 of nothing.
func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(max(len(x), 1))
}

// neighbours is how many of the nearest emotions are listed.
const neighbours = 5

// describeClusters fills in clusters, points and similarities.
func (g *geometer) describeClusters(m *measured) {
	n := len(g.out.Emotions)
	x := m.groups
	order := make([]int, n)
	first := make([]float64, x.clusters) // mean coordinate on the first component
	size := make([]float64, x.clusters)
	for i := range order {
		order[i] = i
		first[x.of[i]] += m.axes.coordinates[0][i]
		size[x.of[i]]++
	}
	var used []int
	for c := range first {
		if size[c] > 0 {
			first[c] /= size[c]
			used = append(used, c)
		}
	}
	slices.SortStableFunc(used, func(a, b int) int { return compareDown(first[a], first[b]) })
	slices.SortStableFunc(order, func(a, b int) int { return compareDown(x.distance[b], x.distance[a]) })
	place := make([]int, x.clusters)
	families := emotion.Families()
	for at, c := range used {
		place[c] = at
		var members []int
		for _, i := range order {
			if x.of[i] == c {
				members = append(members, i)
			}
		}
		g.out.Order = append(g.out.Order, members...)
		g.out.Clusters = append(g.out.Clusters, g.describeCluster(m, members, families))
	}
	for i, name := range g.out.Emotions {
		p := GeometryPoint{Emotion: name, Cluster: place[x.of[i]]}
		for _, axis := range m.axes.coordinates {
			p.Coordinates = append(p.Coordinates, axis[i])
		}
		if f := g.family[i]; f >= 0 {
			p.Family = families[f].Name
		}
		if r := g.rated.of[i]; r != nil {
			v, a := r.Valence, r.Arousal
			p.Valence, p.Arousal, p.Proxy = &v, &a, r.Proxy
		}
		near := make([]int, 0, n)
		for j := range n {
			if j != i {
				near = append(near, j)
			}
		}
		slices.SortStableFunc(near, func(a, b int) int { return compareDown(m.cosines[i][a], m.cosines[i][b]) })
		for _, j := range near[:min(neighbours, len(near))] {
			p.Neighbours = append(p.Neighbours, Neighbour{g.out.Emotions[j], rounded(m.cosines[i][j])})
		}
		g.out.Points = append(g.out.Points, p)
		row := make([]float64, n)
		for j, c := range m.cosines[i] {
			row[j] = rounded(c)
		}
		g.out.Similarity = append(g.out.Similarity, row)
	}
}

// rounded keeps four decimals: a result holds every pair of emotions.
func rounded(x float64) float64 { return math.Round(x*1e4) / 1e4 }

func (g *geometer) describeCluster(m *measured, members []int, families []emotion.Family) Cluster {
	c := Cluster{Name: g.out.Emotions[members[0]]}
	counts := make([]int, len(families))
	known, valence, cosines := 0, 0.0, 0.0
	for k, i := range members {
		c.Members = append(c.Members, g.out.Emotions[i])
		if f := g.family[i]; f >= 0 {
			counts[f]++
			known++
		}
		if r := g.rated.of[i]; r != nil && !r.Proxy {
			valence += r.Valence
			c.Rated++
		}
		for _, j := range members[:k] {
			cosines += m.cosines[i][j]
		}
	}
	if known > 0 {
		most := slices.Max(counts)
		c.Family, c.Share = families[slices.Index(counts, most)].Name, float64(most)/float64(known)
	}
	if c.Rated > 0 {
		valence /= float64(c.Rated)
		c.Valence = &valence
	}
	if k := len(members); k > 1 {
		cosines /= float64(k*(k-1)) / 2
		c.Cohesion = &cosines
	}
	return c
}
