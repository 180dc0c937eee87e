// Package bench measures how fast limbic is, and how fast it could be.
//
// Its benchmarks (go test -bench) time kernels, layers and the whole engine.
// [Run] measures a model; package main in cmd/peers does so beside other
// engines, and package synth writes models to do it with. Limits are what the
// machine gives: its memory's bandwidth and its multipliers' peak.
//
// Machines that are shared change their speed from second to second, so that
// nothing here is a single number: a [Spread] keeps every sample.
package bench
