package asm

// RotateHalves turns pairs of dimensions of some heads. Head h lies at
// x[h*stride:]; its dimensions i and i+n, for n the length of cos and of sin,
// are pair i,
//
//	a, b = a*cos[i] - b*sin[i], a*sin[i] + b*cos[i]
//
// rounded after each step. It panics where x is too short.
func RotateHalves(x []float32, stride, heads int, cos, sin []float32) {
	n := len(cos)
	if !rotates(x, stride, heads, n, len(sin)) {
		return
	}
	done := n &^ 7
	if done > 0 {
		done = rotateHalves(x, stride, heads, cos, sin, n, done)
	}
	if done < n {
		rotateHalvesGeneric(x[done:], stride, heads, cos[done:], sin[done:], n)
	}
}

// RotatePairs is RotateHalves for heads whose pair i is the dimensions 2i and
// 2i+1.
func RotatePairs(x []float32, stride, heads int, cos, sin []float32) {
	n := len(cos)
	if !rotates(x, stride, heads, n, len(sin)) {
		return
	}
	done := n &^ 3
	if done > 0 {
		done = rotatePairs(x, stride, heads, cos, sin, done)
	}
	if done < n {
		rotatePairsGeneric(x[2*done:], stride, heads, cos[done:], sin[done:])
	}
}

// rotates checks the shape for both, and tells whether there is anything to do.
func rotates(x []float32, stride, heads, n, sines int) bool {
	sameLength(n, sines, sines)
	if n == 0 || heads <= 0 {
		return false
	}
	_ = x[(heads-1)*stride+2*n-1]
	return true
}

// rotateHalvesGeneric turns as many pairs as cos is long; half is the distance
// between the dimensions of one.
func rotateHalvesGeneric(x []float32, stride, heads int, cos, sin []float32, half int) {
	for h := range heads {
		x, y := x[h*stride:][:len(cos)], x[h*stride+half:][:len(cos)]
		for i, c := range cos {
			s := sin[i]
			a, b := x[i], y[i]
			x[i] = float32(a*c) - float32(b*s)
			y[i] = float32(a*s) + float32(b*c)
		}
	}
}

func rotatePairsGeneric(x []float32, stride, heads int, cos, sin []float32) {
	for h := range heads {
		x := x[h*stride:][:2*len(cos)]
		for i, c := range cos {
			s := sin[i]
			a, b := x[2*i], x[2*i+1]
			x[2*i] = float32(a*c) - float32(b*s)
			x[2*i+1] = float32(a*s) + float32(b*c)
		}
	}
}
