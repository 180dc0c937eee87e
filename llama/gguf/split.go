package gguf

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
)

// The keys of the parts of a split file, as the program gguf-split of llama.cpp
// writes them. The first part has all metadata, the others little more than
// these; each has the tensor table and the data of its own tensors.
const (
	splitNo      = "split.no"    // counted from 0
	splitCount   = "split.count" // of parts
	splitTensors = "split.tensors.count"
)

// maxParts is what five digits in a name can count.
const maxParts = 99999

// splitOf gives the number of a part, counted from 0, and of how many it is. A
// file that is not split is part 0 of 1.
func (f *File) splitOf() (no, count int, err error) {
	if _, ok := f.meta[splitCount]; !ok {
		return 0, 1, nil
	}
	n, err := f.Uint(splitCount)
	if err != nil {
		return 0, 0, err
	}
	if n <= 1 {
		return 0, 1, nil
	}
	if n > maxParts {
		return 0, 0, f.valueError(splitCount, "%d parts are more than %d", n, maxParts)
	}
	i, err := f.Uint(splitNo)
	if err != nil {
		return 0, 0, err
	}
	if i >= n {
		return 0, 0, f.valueError(splitNo, "part %d, counted from 0, of %d parts", i, n)
	}
	return int(i), int(n), nil
}

// partName is how the name of a part ends.
var partName = regexp.MustCompile(`-[0-9]{5}-of-[0-9]{5}\.gguf$`)

func partSuffix(no, count int) string { return fmt.Sprintf("-%05d-of-%05d.gguf", no+1, count) }

// openOthers opens the other parts of a split file, and gives the whole. It
// closes everything where that fails.
func (f *File) openOthers() (*File, error) {
	fail := func(err error, parts ...*File) (*File, error) {
		for _, p := range parts {
			_ = p.Close()
		}
		return nil, err
	}
	no, count, err := f.splitOf()
	if err != nil {
		return fail(err, f)
	}
	if count == 1 {
		return f, nil
	}
	suffix := partName.FindString(f.Path)
	if suffix != partSuffix(no, count) {
		return fail(f.valueError(splitNo, "the file is part %d of %d, but its name does not end in %s, which tells where the others are",
			no+1, count, partSuffix(no, count)), f)
	}
	stem := f.Path[:len(f.Path)-len(suffix)]
	parts := make([]*File, 0, min(count, 256))
	for i := range count {
		if i == no {
			parts = append(parts, f)
			continue
		}
		part, err := openPart(stem + partSuffix(i, count))
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				err = &FormatError{File: f.Path, Offset: -1, Msg: fmt.Sprintf("part %d of %d is missing: there is no file %s", i+1, count, stem+partSuffix(i, count)), Err: fs.ErrNotExist}
			}
			if i < no {
				parts = append(parts, f)
			}
			return fail(err, parts...)
		}
		parts = append(parts, part)
	}
	whole, err := join(parts)
	if err != nil {
		return fail(err, parts...)
	}
	return whole, nil
}

// join makes one file of all parts of a split file, in their order. The result
// is the first of them.
func join(parts []*File) (*File, error) {
	first := parts[0]
	mismatch := func(part *File, format string, args ...any) error {
		return &FormatError{File: part.Path, Offset: -1, Msg: fmt.Sprintf(format, args...)}
	}
	total := 0
	for i, part := range parts {
		no, count, err := part.splitOf()
		if err != nil {
			return nil, err
		}
		if no != i || count != len(parts) {
			return nil, mismatch(part, "the file says that it is part %d of %d, where part %d of %d is wanted", no+1, count, i+1, len(parts))
		}
		total += len(part.tensors)
		for _, key := range part.keys {
			want, ok := first.meta[key]
			if ok && key != splitNo && want.value != part.meta[key].value {
				return nil, part.valueError(key, "value is %v, but %v in %s: these are not parts of one file",
					part.meta[key].value, want.value, first.Path)
			}
		}
	}
	if _, ok := first.meta[splitTensors]; ok {
		want, err := first.Uint(splitTensors)
		if err != nil {
			return nil, err
		}
		if want != uint64(total) {
			return nil, first.valueError(splitTensors, "%d tensors are promised, all parts together have %d", want, total)
		}
	}
	for _, part := range parts[1:] {
		for _, t := range part.tensors {
			if i, ok := first.byName[t.Name]; ok {
				return nil, &FormatError{File: part.Path, Offset: int64(t.offset), Item: tensorItem(t.Name),
					Msg: "tensor is there already, in " + first.tensors[i].file.Path}
			}
			first.byName[t.Name] = len(first.tensors)
			first.tensors = append(first.tensors, t)
		}
		first.size += part.size
		first.rest = append(first.rest, part)
	}
	return first, nil
}
