package asm

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// eachLevel runs f under every level that this machine can run.
func eachLevel(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	for _, l := range Levels() {
		t.Run(l.String(), func(t *testing.T) {
			restore, err := Use(l)
			require.NoError(t, err)
			defer restore()
			f(t)
		})
	}
}

func TestUse(t *testing.T) {
	before := Current()
	restore, err := Use(Generic)
	require.NoError(t, err)
	require.Equal(t, Generic, Current())
	restore()
	require.Equal(t, before, Current())

	_, err = Use(Best() + 1)
	require.ErrorContains(t, err, "not available here")
	_, err = Use(-1)
	require.Error(t, err)
}

func TestParseLevel(t *testing.T) {
	for _, l := range Levels() {
		got, err := ParseLevel(l.String())
		require.NoError(t, err)
		require.Equal(t, l, got)
	}
	_, err := ParseLevel("sse9")
	require.ErrorContains(t, err, `unknown kernels "sse9" (known: generic, avx2, avx512, avx512vnni, amx, neon, neondotprod)`)
	require.Equal(t, "Level(-1)", Level(-1).String())
}
