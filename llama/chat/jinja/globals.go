package jinja

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// globals sets the functions that every template has.
func (r *renderer) globals(s *scope) {
	fn := func(name string, f func(r *renderer, a args) (value, error)) {
		s.set(name, &callable{name, f})
	}
	fn("raise_exception", func(r *renderer, a args) (value, error) {
		got, err := a.take("raise_exception", "message")
		if err != nil {
			return nil, err
		}
		msg := "no reason given"
		if given(got[0]) {
			t, err := r.text(got[0])
			if err != nil {
				return nil, err
			}
			msg = t.s
		}
		return nil, raised(msg)
	})
	if !r.now.IsZero() {
		fn("strftime_now", func(r *renderer, a args) (value, error) {
			got, err := a.take("strftime_now", "format")
			if err != nil {
				return nil, err
			}
			f, ok := got[0].(str)
			if !ok {
				return nil, errors.New("strftime_now needs a format")
			}
			r.dated = true
			r.spend(32 * len(f.s))
			text, err := strftime(r.now, f.s)
			return plain(text), err
		})
	}
	fn("range", func(r *renderer, a args) (value, error) {
		got, err := a.take("range", "start", "stop", "step")
		if err != nil {
			return nil, err
		}
		var n [3]int64
		have := 0
		for i, v := range got {
			if !given(v) {
				break
			}
			_, k, isInt := number(v)
			if !isInt {
				return nil, fmt.Errorf("range of a %s", typeName(v))
			}
			n[i], have = k, have+1
		}
		switch have {
		case 0:
			return nil, errors.New("range needs a number")
		case 1:
			n = [3]int64{0, n[0], 1}
		case 2:
			n[2] = 1
		}
		if n[2] == 0 {
			return nil, errors.New("range by steps of 0")
		}
		l := &list{}
		for i := n[0]; n[2] > 0 && i < n[1] || n[2] < 0 && i > n[1]; {
			r.count(1)
			l.items = append(l.items, i)
			next := i + n[2]
			if (next > i) != (n[2] > 0) { // overflow
				break
			}
			i = next
		}
		return l, nil
	})
	mapping := func(what string, a args) (*dict, error) {
		d := r.newDict()
		for _, v := range a.pos {
			from, ok := v.(*dict)
			if !ok {
				return nil, fmt.Errorf("%s of a %s", what, typeName(v))
			}
			r.count(len(from.keys))
			for i, k := range from.keys {
				if err := r.set(d, k, from.values[i]); err != nil {
					return nil, err
				}
			}
		}
		for i, n := range a.names {
			if err := r.set(d, plain(n), a.named[i]); err != nil {
				return nil, err
			}
		}
		return d, nil
	}
	fn("dict", func(_ *renderer, a args) (value, error) {
		d, err := mapping("dict", a)
		return d, err
	})
	fn("namespace", func(_ *renderer, a args) (value, error) {
		d, err := mapping("namespace", a)
		if err != nil {
			return nil, err
		}
		return &namespace{*d}, nil
	})
	fn("joiner", func(_ *renderer, a args) (value, error) {
		got, err := a.take("joiner", "sep")
		if err != nil {
			return nil, err
		}
		sep := value(plain(", "))
		if given(got[0]) {
			sep = got[0]
		}
		used := false
		return &callable{"joiner", func(*renderer, args) (value, error) {
			if !used {
				used = true
				return str{}, nil
			}
			return sep, nil
		}}, nil
	})
}

// raised is an error of raise_exception.
type raised string

func (e raised) Error() string { return string(e) }
func (raised) Unwrap() error   { return ErrRaised }

// strftime writes a time as C's function of that name does in the C locale.
func strftime(t time.Time, format string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			b.WriteByte(format[i])
			continue
		}
		i++
		bare := i < len(format) && format[i] == '-' // without leading zeros
		if bare {
			i++
		}
		if i >= len(format) {
			return "", errors.New("strftime_now: the format ends in %")
		}
		layouts := map[byte]string{
			'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM",
			'b': "Jan", 'h': "Jan", 'B': "January", 'a': "Mon", 'A': "Monday", 'e': "_2", 'j': "002", 'Z': "MST", 'z': "-0700",
			'F': "2006-01-02", 'T': "15:04:05", 'R': "15:04", 'D': "01/02/06", 'c': "Mon Jan _2 15:04:05 2006", 'x': "01/02/06", 'X': "15:04:05",
		}
		var s string
		switch c := format[i]; c {
		case '%':
			s = "%"
		case 'n':
			s = "\n"
		case 't':
			s = "\t"
		case 'w':
			s = strconv.Itoa(int(t.Weekday()))
		case 'u':
			s = strconv.Itoa((int(t.Weekday())+6)%7 + 1)
		default:
			layout, ok := layouts[c]
			if !ok {
				return "", fmt.Errorf("strftime_now: %%%c is not supported", c)
			}
			s = t.Format(layout)
		}
		if bare {
			if s = strings.TrimLeft(s, "0 "); s == "" {
				s = "0"
			}
		}
		b.WriteString(s)
	}
	return b.String(), nil
}
