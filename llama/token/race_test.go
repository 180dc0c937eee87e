//go:build race

package token

// The race detector slows everything down several times over.
const raceEnabled = true
