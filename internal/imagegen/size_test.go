package imagegen_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

func TestParseSize(t *testing.T) {
	t.Parallel()
	want := imagegen.Size{Width: 1024, Height: 768}
	for _, text := range []string{"1024x768", "1024X768", "1024*768", "1024×768", " 1024 x 768 ", "1024\t×\t768", "01024x768"} {
		if got, ok := imagegen.ParseSize(text); got != want || !ok {
			t.Errorf("ParseSize(%q) = %v, %v; want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{
		"", "x", "1024", "1024x", "x768", "1024xx768", "1024x768x1", "-1024x768", "+1024x768", "1024.5x768", "0x768",
		"1024:768", "1 024x768", "99999999999999999999x1", "auto", "１024x768", "1024\xc3x768",
	} {
		if got, ok := imagegen.ParseSize(text); got != (imagegen.Size{}) || ok {
			t.Errorf("ParseSize(%q) = %v, %v; want none", text, got, ok)
		}
	}
}

func TestSizeString(t *testing.T) {
	t.Parallel()
	size := imagegen.Size{Width: 2016, Height: 864}
	if got, ok := imagegen.ParseSize(size.String()); got != size || !ok {
		t.Errorf("ParseSize(%q) = %v, %v", size.String(), got, ok)
	}
}

// drawModel draws a model whose limits hold at least one multiple of 8 and whose tier "low" is possible.
func drawModel(t *rapid.T) imagegen.Model {
	m := imagegen.DefaultModel()
	step := 8 * rapid.IntRange(1, 300).Draw(t, "step within limits")
	m.Limits.MinSide = rapid.IntRange(max(1, step-500), step).Draw(t, "min side")
	m.Limits.MaxSide = rapid.IntRange(step, step+2000).Draw(t, "max side")
	side := rapid.IntRange(m.Limits.MinSide, m.Limits.MaxSide)
	m.DefaultSize = imagegen.Size{Width: side.Draw(t, "default width"), Height: side.Draw(t, "default height")}
	m.Ratios = nil
	m.Qualities = map[string]imagegen.Quality{"low": {MaxSide: rapid.IntRange(step, m.Limits.MaxSide).Draw(t, "low")}}
	if _, err := imagegen.NewCatalog([]imagegen.Model{m}); err != nil {
		t.Fatalf("drew an impossible model: %v", err)
	}
	return m
}

func checkDrawable(t *rapid.T, m imagegen.Model, s imagegen.Spec) {
	t.Helper()
	for _, side := range []int{s.Width, s.Height} {
		if side%8 != 0 || side < m.Limits.MinSide || side > m.Limits.MaxSide {
			t.Fatalf("side %d is no multiple of 8 in %d to %d", side, m.Limits.MinSide, m.Limits.MaxSide)
		}
	}
}

func TestExplicitSizesMoveByHalfAStepAtMost(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		side := rapid.IntRange(m.Limits.MinSide, m.Limits.MaxSide)
		w, h := side.Draw(t, "width"), side.Draw(t, "height")
		byFields, err := m.NewSpec(imagegen.Params{Prompt: "a cat", Width: &w, Height: &h, Quality: "low"}, one)
		if err != nil {
			t.Fatal(err)
		}
		checkDrawable(t, m, byFields)
		for asked, got := range map[int]int{w: byFields.Width, h: byFields.Height} {
			// At a limit that is no multiple of 8 the nearest one may be out of bounds.
			within := asked-4 >= m.Limits.MinSide && asked+4 <= m.Limits.MaxSide
			if within && (got-asked > 4 || asked-got >= 4) || got-asked > 7 || asked-got > 7 {
				t.Fatalf("%d was rounded to %d", asked, got)
			}
		}
		bySize, err := m.NewSpec(imagegen.Params{Prompt: "a cat", Size: imagegen.Size{Width: w, Height: h}.String(), Quality: "low"}, one)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(byFields, bySize); diff != "" {
			t.Fatalf("width and height differ from size (-fields +size):\n%s", diff)
		}
	})
}

func TestTiersBoundTheLongestSideAndKeepTheRatio(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		full, err := m.NewSpec(imagegen.Params{Prompt: "a cat"}, one)
		if err != nil {
			t.Fatal(err)
		}
		low, err := m.NewSpec(imagegen.Params{Prompt: "a cat", Quality: "low"}, one)
		if err != nil {
			t.Fatal(err)
		}
		checkDrawable(t, m, full)
		checkDrawable(t, m, low)
		bound, d := m.Qualities["low"].MaxSide, m.DefaultSize
		if max(d.Width, d.Height) <= bound {
			if diff := cmp.Diff(full.Width, low.Width) + cmp.Diff(full.Height, low.Height); diff != "" {
				t.Fatalf("a size within the tier was changed:\n%s", diff)
			}
			return
		}
		if max(low.Width, low.Height) > bound || max(low.Width, low.Height) < bound-7 {
			t.Fatalf("longest side of %dx%d is not just within %d", low.Width, low.Height, bound)
		}
		exact := func(side int) float64 { return float64(side) * float64(bound) / float64(max(d.Width, d.Height)) }
		for want, got := range map[float64]int{exact(d.Width): low.Width, exact(d.Height): low.Height} {
			off := float64(got) - want
			atMin := want < float64(m.Limits.MinSide) && got < m.Limits.MinSide+8
			if (off > 8 || off < -8) && !atMin {
				t.Fatalf("%v became %dx%d: a side should be near %.1f", d, low.Width, low.Height, want)
			}
		}
	})
}

func one() uint32 { return 1 }
