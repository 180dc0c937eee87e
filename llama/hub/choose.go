package hub

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Preferred are the quantisations from which one is taken where a reference
// names none, best first: the usual compromise, then what is closest to the
// original at a size that most machines hold, then the rest.
var Preferred = []string{"Q4_K_M", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_S", "Q4_0", "BF16", "F16", "F32"}

// errNoFile says that none of the files is the one that is meant.
var errNoFile = errors.New("no such file")

var (
	splitForm = regexp.MustCompile(`(?i)^(.+)-(\d{5})-of-(\d{5})\.gguf$`)
	// What the names of files say at their end about quantisation.
	quantForm = regexp.MustCompile(`(?i)(?:^|[-._/])((?:UD-)?(?:I?Q\d[A-Z0-9_]*|TQ\d_\d|MXFP4\w*|NVFP4\w*|BF16|FP?16|FP?32))$`)
)

// A group is a model among the files of a repository: one GGUF file, or all the
// parts of one that was split.
type group struct {
	stem  string // its name without the part's number and .gguf
	files []listed
	parts int // how many there should be
}

// A listed file is one that a repository or a folder has.
type listed struct {
	name string // with slashes
	size int64  // -1 where unknown
	// Where a server said so:
	sha256  string // of the contents
	gitHash string // git's name of the contents
}

// etag is what the Hub calls the contents of a file.
func (f *listed) etag() string { return cmp.Or(f.sha256, f.gitHash) }

func (g *group) size() int64 {
	var n int64
	for _, f := range g.files {
		if f.size < 0 {
			return -1
		}
		n += f.size
	}
	return n
}

// quant is the quantisation that the name tells, or "".
func (g *group) quant() string {
	if m := quantForm.FindStringSubmatch(g.stem); m != nil {
		return strings.ToUpper(m[1])
	}
	return ""
}

// whole fails where parts are missing.
func (g *group) whole() error {
	if len(g.files) == g.parts {
		return nil
	}
	return fmt.Errorf("%s: %d of its %d parts are there", g.stem+".gguf", len(g.files), g.parts)
}

// groupFiles finds the models among files. Projectors of vision models, and
// files that only help to quantise or to draft, are none.
func groupFiles(files []listed) []*group {
	var groups []*group
	split := map[string]*group{}
	for _, f := range files {
		if !isGGUF(f.name) {
			continue
		}
		base := strings.ToLower(f.name[strings.LastIndexByte(f.name, '/')+1:])
		if strings.Contains(base, "mmproj") || strings.Contains(base, "imatrix") || strings.HasPrefix(base, "mtp-") {
			continue
		}
		m := splitForm.FindStringSubmatch(f.name)
		if m == nil {
			groups = append(groups, &group{stem: f.name[:len(f.name)-len(".gguf")], files: []listed{f}, parts: 1})
			continue
		}
		part, _ := strconv.Atoi(m[2])
		parts, _ := strconv.Atoi(m[3])
		if part < 1 || part > parts {
			continue
		}
		key := m[1] + "/" + m[3]
		g := split[key]
		if g == nil {
			g = &group{stem: m[1], parts: parts}
			split[key] = g
			groups = append(groups, g)
		}
		g.files = append(g.files, f)
	}
	for _, g := range groups {
		slices.SortFunc(g.files, func(a, b listed) int { return cmp.Compare(a.name, b.name) })
	}
	slices.SortFunc(groups, func(a, b *group) int { return cmp.Compare(a.files[0].name, b.files[0].name) })
	return groups
}

// choose finds the model that the reference means. Its error wraps errNoFile
// where there is none, and lists what there is.
func choose(groups []*group, r Ref) (*group, error) {
	switch {
	case len(groups) == 0:
		return nil, fmt.Errorf("%w: there is no GGUF file", errNoFile)
	case r.File != "":
		return chooseFile(groups, r)
	case r.Tag != "" && !strings.EqualFold(r.Tag, "latest"):
		return chooseTag(groups, r)
	case len(groups) == 1:
		return groups[0], nil
	}
	for _, tag := range Preferred {
		if found := withTag(groups, tag); len(found) == 1 {
			return found[0], nil
		} else if len(found) > 1 {
			return nil, fmt.Errorf("there are several models; say which: %s", alternatives(groups, found, r))
		}
	}
	return nil, fmt.Errorf("there are several models, and none in a usual quantisation; say which: %s", alternatives(groups, groups, r))
}

// chooseFile finds a file by its path, or by its last part where only one file
// has it.
func chooseFile(groups []*group, r Ref) (*group, error) {
	for _, same := range []func(string) bool{
		func(name string) bool { return name == r.File },
		func(name string) bool { return strings.EqualFold(name, r.File) },
		func(name string) bool { return strings.EqualFold(name[strings.LastIndexByte(name, '/')+1:], r.File) },
	} {
		var found []*group
		for _, g := range groups {
			if slices.ContainsFunc(g.files, func(f listed) bool { return same(f.name) }) {
				found = append(found, g)
			}
		}
		if len(found) == 1 {
			return found[0], nil
		}
	}
	return nil, fmt.Errorf("%w as %s; there is %s", errNoFile, r.File, alternatives(groups, groups, r))
}

func chooseTag(groups []*group, r Ref) (*group, error) {
	switch found := withTag(groups, r.Tag); len(found) {
	case 0:
		return nil, fmt.Errorf("%w with the tag %s; there is %s", errNoFile, r.Tag, alternatives(groups, groups, r))
	case 1:
		return found[0], nil
	default:
		return nil, fmt.Errorf("the tag %s fits several models; say which: %s", r.Tag, alternatives(groups, found, r))
	}
}

// withTag gives the models whose names have the tag: as their quantisation, or
// else at their end, or else as a word anywhere in their path.
func withTag(groups []*group, tag string) []*group {
	tag = strings.ToLower(tag)
	bounded := regexp.MustCompile(`(?:^|[-./])` + regexp.QuoteMeta(tag) + `(?:$|[-./])`)
	for _, fits := range []func(*group) bool{
		func(g *group) bool { return strings.EqualFold(g.quant(), tag) },
		func(g *group) bool {
			stem := strings.ToLower(g.stem)
			rest, found := strings.CutSuffix(stem, strings.TrimSuffix(tag, ".gguf"))
			return found && (rest == "" || strings.ContainsAny(rest[len(rest)-1:], "-./"))
		},
		func(g *group) bool { return bounded.MatchString(strings.ToLower(g.stem)) },
	} {
		var found []*group
		for _, g := range groups {
			if fits(g) {
				found = append(found, g)
			}
		}
		if len(found) > 0 {
			return found
		}
	}
	return nil
}

// maxAlternatives is how many models a message lists.
const maxAlternatives = 30

// alternatives lists some of the models by what names them among all.
func alternatives(groups, shown []*group, r Ref) string {
	var b strings.Builder
	for i, g := range shown {
		if i > 0 {
			b.WriteString(", ")
		}
		if i == maxAlternatives {
			fmt.Fprintf(&b, "… (%d in all)", len(shown))
			break
		}
		each := Ref{Owner: r.Owner, Repo: r.Repo, Revision: r.Revision, File: g.files[0].name}
		if q := g.quant(); q != "" && len(withTag(groups, q)) == 1 {
			each.File, each.Tag = "", q
		}
		b.WriteString(each.String())
		if n := g.size(); n >= 0 {
			fmt.Fprintf(&b, " (%s)", byteSize(n))
		}
	}
	return b.String()
}

// byteSize writes a number of bytes for people.
func byteSize(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, units := float64(n)/unit, "KMGTPE"
	for v >= unit && len(units) > 1 {
		v, units = v/unit, units[1:]
	}
	return fmt.Sprintf("%.1f %ciB", v, units[0])
}
