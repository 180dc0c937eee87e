package report

import (
	"fmt"
	"math"
	"strings"
)

// An RGB is a colour of the sRGB space.
type RGB [3]uint8

// A Ramp gives the colours of levels: from Zero, which is not used itself, to
// the strongest of each side.
type Ramp struct{ Zero, Positive, Negative RGB }

// The ramps for light and for dark surroundings. Red is positive and blue
// negative, also for those who see red and green alike.
var (
	LightRamp = Ramp{RGB{255, 255, 255}, RGB{198, 32, 44}, RGB{29, 95, 168}}
	DarkRamp  = Ramp{RGB{22, 24, 28}, RGB{236, 84, 74}, RGB{84, 150, 232}}
)

// At gives the colours of a level other than 0: the background, and black or
// white on it, whichever reads better (a contrast of 4.5 at least).
func (r Ramp) At(level int) (background, text RGB) {
	end := r.Positive
	if level < 0 {
		end, level = r.Negative, -level
	}
	// The first step is a visible one.
	share := 0.06 + 0.94*float64(min(level, Levels))/Levels
	for i := range background {
		from, to := float64(r.Zero[i]), float64(end[i])
		background[i] = uint8(math.Round(from + share*(to-from)))
	}
	black, white := RGB{}, RGB{255, 255, 255}
	if Contrast(background, black) > Contrast(background, white) {
		return background, black
	}
	return background, white
}

// Contrast is the contrast ratio of two colours as WCAG 2 defines it, between
// 1 and 21.
func Contrast(a, b RGB) float64 {
	x, y := luminance(a), luminance(b)
	if x < y {
		x, y = y, x
	}
	return (x + 0.05) / (y + 0.05)
}

func luminance(c RGB) float64 {
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		v := float64(c[i]) / 255
		if v <= 0.04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		sum += weight * v
	}
	return sum
}

// levelStyles are the style rules of the levels' classes.
func levelStyles() string {
	rules := func(r Ramp) string {
		var b strings.Builder
		for n := -Levels; n <= Levels; n++ {
			if n != 0 {
				back, text := r.At(n)
				fmt.Fprintf(&b, ".%s { background: %v; color: %v; fill: %v; }\n", levelClass(n), back, text, back)
			}
		}
		return b.String()
	}
	return rules(LightRamp) + "rect:not([class]), rect[class=\"\"] { fill: none; }\n" +
		"@media screen and (prefers-color-scheme: dark) {\n" + rules(DarkRamp) + "}\n"
}

// String is the colour as style sheets write it, such as "#c6202c".
func (c RGB) String() string { return fmt.Sprintf("#%02x%02x%02x", c[0], c[1], c[2]) }
