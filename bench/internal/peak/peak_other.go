//go:build !amd64 || purego

package peak

func float32Loop() (Loop, bool) { return Loop{}, false }
func int8Loop() (Loop, bool)    { return Loop{}, false }
func read(x []float32)          { readGeneric(x) }
func reader() string            { return "plain Go" }
