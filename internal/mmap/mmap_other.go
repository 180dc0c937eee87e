//go:build !unix || aix || solaris

package mmap

import "os"

func mapFile(path string) (data []byte, mapped bool, err error) {
	data, err = os.ReadFile(path)
	return data, false, err
}

func unmap([]byte) error { return nil }

func adviseUnneeded([]byte, int, int) {}
