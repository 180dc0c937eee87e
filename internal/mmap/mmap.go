// Package mmap maps files into memory for reading. Where the system has no mmap
// a file is read instead.
package mmap

// A File is a file's content in memory. Data must not be written to, and the
// file not changed or truncated before Close.
type File struct {
	Data   []byte // the whole file; nil for an empty one and after Close
	mapped bool
}

// Release tells the kernel that whole pages within Data[start:end] are not
// needed at present. They are read from the file again when they are touched.
func (f *File) Release(start, end int) {
	if f.mapped && start < end {
		adviseUnneeded(f.Data, start, end)
	}
}

// Close unmaps the file; nothing may use Data any more. Closing again does
// nothing.
func (f *File) Close() error {
	data, mapped := f.Data, f.mapped
	f.Data, f.mapped = nil, false
	if !mapped {
		return nil
	}
	return unmap(data)
}

// Open maps a file, which must be a regular one. Errors are those of the
// operating system and name the path.
func Open(path string) (*File, error) {
	data, mapped, err := mapFile(path)
	if err != nil {
		return nil, err
	}
	return &File{data, mapped}, nil
}
