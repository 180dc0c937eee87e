//go:build !unix

package asm

import "testing"

func guarded(_ testing.TB, n int) []float32 { return make([]float32, n) }
