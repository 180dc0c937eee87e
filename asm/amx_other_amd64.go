//go:build amd64 && !linux && !purego

package asm

// requestTiles tells that this operating system's way to permit the tile
// registers of AMX is not known here.
func requestTiles() bool { return false }
