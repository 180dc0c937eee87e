package llama

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseSite(t *testing.T) {
	for _, c := range []struct {
		in     string
		blocks int
		want   string
	}{
		{"resid_pre:0", 16, "resid_pre:0"},
		{"attn_out:3", 16, "attn_out:3"},
		{"resid_mid:3", 16, "resid_mid:3"},
		{"mlp_out:3", 16, "mlp_out:3"},
		{"resid_post:15", 16, "resid_post:15"},
		{" resid_post:10\n", 16, "resid_post:10"},
		{"final_norm", 16, "final_norm"},

		{"resid_post:-1", 16, "resid_post:15"},
		{"resid_mid:-16", 16, "resid_mid:0"},

		{"resid_post:67%", 16, "resid_post:10"},
		{"67%", 16, "resid_post:10"},
		{"0%", 16, "resid_post:0"},
		{"100%", 16, "resid_post:15"},
		{"12.5%", 16, "resid_post:2"},
		{"29%", 100, "resid_post:29"}, // 0.29*100 is 28.999… in binary
		{"attn_out:50%", 5, "attn_out:2"},
		{"resid_post:2/3", 16, "resid_post:10"},
		{"2/3", 3, "resid_post:2"},
		{"1/1", 4, "resid_post:3"},

		{"blocks.10.hook_resid_post", 16, "resid_post:10"},
		{"blocks.0.hook_resid_pre", 16, "resid_pre:0"},
		{"blocks.1.hook_resid_mid", 16, "resid_mid:1"},
		{"blocks.2.hook_attn_out", 16, "attn_out:2"},
		{"blocks.3.hook_mlp_out", 16, "mlp_out:3"},

		{"hf:0", 16, "resid_pre:0"},
		{"hf:11", 16, "resid_post:10"},
		{"hf:16", 16, "final_norm"},
		{"hf:-1", 16, "final_norm"},
		{"hf:-2", 16, "resid_post:14"},
		{"hf:-17", 16, "resid_pre:0"},

		{"l_out-10", 16, "resid_post:10"},
		{"l_out--1", 16, "resid_post:15"},
	} {
		t.Run(c.in, func(t *testing.T) {
			got, err := ParseSite(c.in, c.blocks)
			require.NoError(t, err)
			require.Equal(t, c.want, got.String())
			require.True(t, got.Valid(c.blocks))

			again, err := ParseSite(got.String(), c.blocks)
			require.NoError(t, err)
			require.Equal(t, got, again)
		})
	}
}

func TestParseSiteRefuses(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"10", `bare number is ambiguous; write resid_post:10`},
		{"-1", "bare number is ambiguous"},
		{"", `cannot read ""`},
		{"resid_post", `cannot read "resid_post"`},
		{"resid_post:", `cannot read ""`},
		{"resid_post:16", "block 16 does not exist; the model has blocks 0 to 15"},
		{"resid_post:-17", "block -17 does not exist"},
		{"resid_post:1.5", `cannot read "1.5"`},
		{"resid_post:0.5", `cannot read "0.5"`}, // a share needs % or /
		{"resid_post:1e2%", "cannot read"},
		{"resid_post:0x1%", "cannot read"},
		{"resid_post:1/0", "cannot read"},
		{"101%", "outside 0 to 1"},
		{"-1%", "outside 0 to 1"},
		{"4/3", "outside 0 to 1"},
		{"1/3%%", "cannot read"},
		{"residual:3", `unknown point "residual" (known: resid_pre, attn_out, resid_mid, mlp_out, resid_post, final_norm)`},
		{"Resid_Post:3", "unknown point"},
		{"final_norm:0", "final_norm has no block"},
		{"blocks.3", "blocks.10.hook_resid_post"},
		{"blocks.3.hook_z", `unknown point "z"`},
		{"blocks.16.hook_resid_post", "block 16 does not exist"},
		{"hf:17", "hf:0 to hf:16"},
		{"hf:-18", "hf:0 to hf:16"},
		{"hf:67%", "hf:0 to hf:16"},
		{"l_out-16", "block 16 does not exist"},
	} {
		t.Run(c.in, func(t *testing.T) {
			_, err := ParseSite(c.in, 16)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, "llama: site ")
		})
	}
}

func TestParseSites(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"resid_post:1", "resid_post:1"},
		{"resid_post:2, 0%,final_norm", "resid_post:2 resid_post:0 final_norm"},
		{"resid_post:all", "resid_post:0 resid_post:1 resid_post:2"},
		{"mlp_out:1, mlp_out:all", "mlp_out:1 mlp_out:0 mlp_out:2"}, // kept once, where first named
		{"resid_post:1,l_out-1,hf:2", "resid_post:1"},
		{" attn_out:all ", "attn_out:0 attn_out:1 attn_out:2"},
	} {
		t.Run(c.in, func(t *testing.T) {
			sites, err := ParseSites(c.in, 3)
			require.NoError(t, err)
			got := ""
			for i, s := range sites {
				if i > 0 {
					got += " "
				}
				got += s.String()
			}
			require.Equal(t, c.want, got)
		})
	}
	for _, in := range []string{"", "resid_post:1,", "resid_post:1,,final_norm", "resid:all", "final_norm:all", "hf:all", "all", "1"} {
		_, err := ParseSites(in, 3)
		require.Error(t, err, in)
	}
}

func TestDefaultSite(t *testing.T) {
	for blocks, want := range map[int]int{1: 0, 2: 1, 3: 2, 16: 10, 22: 14, 30: 20} {
		require.Equal(t, Site{ResidPost, want}, DefaultSite(blocks), "%d blocks", blocks)
	}
}

func TestSiteNames(t *testing.T) {
	s := Site{ResidPost, 10}
	require.Equal(t, "resid_post.10", s.Key())
	require.Equal(t, "output of block 10 of 16 (counted from 0)", s.Describe(16))
	require.Equal(t, "final_norm", Site{Point: FinalNorm}.Key())
	require.Equal(t, "final norm", Site{Point: FinalNorm}.Describe(16))
	require.Equal(t, "Point(9)", Point(9).String())

	for _, c := range []struct {
		site  Site
		valid bool
	}{
		{Site{ResidPre, 0}, true},
		{Site{ResidPost, 15}, true},
		{Site{ResidPost, 16}, false},
		{Site{ResidPost, -1}, false},
		{Site{Point: FinalNorm}, true},
		{Site{Point(9), 0}, false},
	} {
		require.Equal(t, c.valid, c.site.Valid(16), c.site)
	}
}
